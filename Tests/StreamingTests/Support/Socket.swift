import Foundation
import Testing

struct ConnectionEnded: Error {}

/// A blocking TCP connection of a client, with a time limit on each call.
final class Socket {
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private(set) var isClosed = false

  /// To the host and port of a URL.
  init(_ url: String) throws {
    let parts = url.split(separator: "/")[1].split(separator: ":")
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    try #require(descriptor >= 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = try #require(UInt16(parts[1])).bigEndian
    address.sin_addr.s_addr = inet_addr(String(parts[0]))
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try #require(result == 0)
    setTimeout(SO_RCVTIMEO, seconds: 30)
    setTimeout(SO_SNDTIMEO, seconds: 30)
  }

  deinit { close() }

  func setTimeout(_ option: Int32, seconds: Int) {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    Foundation.close(descriptor)
  }

  func write(_ bytes: some Collection<UInt8>) throws {
    var rest = Array(bytes)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { throw ConnectionEnded() }
      rest = rest.dropFirst(count)
    }
  }

  /// How much the other side takes within `seconds`.
  func writeUntilStuck(_ limit: Int, seconds: Int, _ chunk: [UInt8]) -> Int {
    setTimeout(SO_SNDTIMEO, seconds: seconds)
    var total = 0
    while total < limit {
      let count = chunk.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { break }
      total += count
      guard count == chunk.count else { break }
    }
    return total
  }

  func read(_ count: Int) throws -> [UInt8] {
    while buffer.count < count { try fill() }
    defer { buffer.removeFirst(count) }
    return Array(buffer[..<count])
  }

  private func fill() throws {
    var piece = [UInt8](repeating: 0, count: 256 << 10)
    let count = recv(descriptor, &piece, piece.count, 0)
    guard count > 0 else { throw ConnectionEnded() }
    buffer += piece[..<count]
  }

  /// True once the other side has ended the connection, by whatever means.
  func readsEnd() -> Bool {
    do {
      while true { try fill() }
    } catch { return errno != EAGAIN }
  }

  func readLine() throws -> String {
    var line: [UInt8] = []
    while line.suffix(2) != [13, 10] { line += try read(1) }
    return String(decoding: line.dropLast(2), as: UTF8.self)
  }

  struct Response {
    var status: Int
    var headers: [String: String]
    var body: String
  }

  func request(_ url: String, method: String = "POST", _ headers: [(String, String)]) throws -> Response {
    let path = "/" + url.split(separator: "/").dropFirst(2).joined(separator: "/")
    let lines = ["\(method) \(path) HTTP/1.1", "Host: localhost"] + headers.map { "\($0): \($1)" }
    try write((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    let status = try #require(Int(try readLine().split(separator: " ")[1]))
    var found: [String: String] = [:]
    while true {
      let line = try readLine()
      if line.isEmpty { break }
      let colon = try #require(line.firstIndex(of: ":"))
      found[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    let length = Int(found["content-length"] ?? "0") ?? 0
    return Response(status: status, headers: found, body: String(decoding: try read(length), as: UTF8.self))
  }
}
