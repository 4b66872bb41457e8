import Glibc
import GRPCNGHTTP2
import Synchronization
import Testing

/// A unix stream socket without any protocol.
final class RawSocket: Sendable {
  private let descriptor: Mutex<Int32?>

  init(_ descriptor: Int32) throws {
    try #require(descriptor >= 0)
    self.descriptor = Mutex(descriptor)
  }

  convenience init(connectedTo path: String) throws {
    try self.init(Self.make())
    let descriptor = self.descriptor.withLock { $0 ?? -1 }
    let result = Self.withAddress(path) { Glibc.connect(descriptor, $0, $1) }
    try #require(result == 0)
  }

  deinit { close() }

  static func pair() throws -> (RawSocket, RawSocket) {
    var descriptors: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &descriptors) == 0)
    return (try RawSocket(descriptors[0]), try RawSocket(descriptors[1]))
  }

  static func listening(at path: String) throws -> RawSocket {
    let socket = try RawSocket(make())
    let descriptor = socket.descriptor.withLock { $0 ?? -1 }
    try #require(withAddress(path) { Glibc.bind(descriptor, $0, $1) } == 0)
    try #require(Glibc.listen(descriptor, 8) == 0)
    return socket
  }

  /// What a server that was killed leaves behind.
  static func leaveStale(at path: String) throws { try listening(at: path).close() }

  func close() {
    if let descriptor = take() { Glibc.close(descriptor) }
  }

  /// The descriptor, which is the caller's from now.
  func release() -> Int32 { take() ?? -1 }

  /// Writes until all is written or the peer takes no more for a while; what it does with it is its
  /// own business.
  func writeAll(_ bytes: [UInt8]) {
    var rest = bytes[...]
    for _ in 0..<100 where !rest.isEmpty {
      let count = descriptor.withLock { descriptor in
        rest.withUnsafeBytes { send(descriptor ?? -1, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) }
      }
      if count > 0 { rest = rest.dropFirst(count) }
      if count < 0 {
        guard errno == EAGAIN else { return }
        usleep(1000)
      }
    }
  }

  /// What is there, once something is; empty at the end.
  func read() async throws -> [UInt8] {
    for _ in 0..<2000 {
      var buffer = [UInt8](repeating: 0, count: 65536)
      let count = descriptor.withLock { recv($0 ?? -1, &buffer, buffer.count, Int32(MSG_DONTWAIT)) }
      if count >= 0 { return Array(buffer.prefix(count)) }
      if errno != EAGAIN { return [] }
      try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("nothing to read")
    return []
  }

  private func take() -> Int32? {
    descriptor.withLock { descriptor in
      defer { descriptor = nil }
      return descriptor
    }
  }

  private static func make() -> Int32 { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) }

  private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }
}
