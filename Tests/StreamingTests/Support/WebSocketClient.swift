import Foundation
import Testing

/// A WebSocket client as RFC 6455 describes it.
final class WebSocketClient {
  struct Frame: Equatable {
    var opcode: UInt8
    var payload: [UInt8]

    var closeCode: UInt16? {
      opcode == 8 && payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil
    }
  }

  let socket: Socket
  private let mask: [UInt8] = [0x12, 0xab, 0x7f, 0x01]

  static func request(_ url: String, _ protocols: String...) throws -> (Socket, Socket.Response) {
    let socket = try Socket(url)
    // The key and its answer are RFC 6455's example (1.3).
    var headers = [
      ("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
      ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    if !protocols.isEmpty { headers.append(("Sec-WebSocket-Protocol", protocols.joined(separator: ", "))) }
    return (socket, try socket.request(url, method: "GET", headers))
  }

  init(_ url: String, _ channels: String) throws {
    let (socket, response) = try Self.request(url, channels)
    try #require(response.status == 101, "\(response)")
    #expect(response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    #expect(response.headers["sec-websocket-protocol"] == channels)
    self.socket = socket
  }

  func send(_ opcode: UInt8, _ payload: [UInt8], isLast: Bool = true) throws {
    try socket.write(frame(opcode, payload, isLast: isLast))
  }

  func frame(_ opcode: UInt8, _ payload: [UInt8], isLast: Bool = true) -> [UInt8] {
    let count = payload.count
    let length: [UInt8] =
      count < 126
      ? [UInt8(count)]
      : count < 65536
        ? [126, UInt8(count >> 8), UInt8(count & 255)]
        : [127] + [56, 48, 40, 32, 24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) }
    return [(isLast ? 0x80 : 0) | opcode, 0x80 | length[0]] + length.dropFirst() + mask
      + payload.enumerated().map { $1 ^ mask[$0 % 4] }
  }

  func channel(_ number: UInt8, _ bytes: [UInt8]) throws { try send(2, [number] + bytes) }

  func frame() throws -> Frame {
    let header = try socket.read(2)
    try #require(header[0] & 0x80 != 0 && header[1] & 0x80 == 0, "whole messages, not masked")
    var length = Int(header[1])
    if length == 126 { length = try socket.read(2).reduce(0) { $0 << 8 | Int($1) } }
    if length == 127 { length = try socket.read(8).reduce(0) { $0 << 8 | Int($1) } }
    return Frame(opcode: header[0] & 15, payload: try socket.read(length))
  }

  /// What comes on each channel until the server closes, and the code it closes with.
  func collect() throws -> (channels: [UInt8: [UInt8]], code: UInt16?) {
    var found: [UInt8: [UInt8]] = [:]
    while true {
      let frame = try frame()
      if frame.opcode == 8 { return (found, frame.closeCode) }
      guard frame.opcode == 2 || frame.opcode == 1, let channel = frame.payload.first else { continue }
      if frame.opcode == 1 {
        let decoded = Data(base64Encoded: Data(frame.payload.dropFirst())) ?? Data()
        found[channel - 48, default: []] += decoded
      } else {
        found[channel, default: []] += frame.payload.dropFirst()
      }
    }
  }
}

/// A byte stream in the binary messages of a WebSocket.
final class TunnelPipe: BytePipe {
  private let client: WebSocketClient
  private var buffer: [UInt8] = []

  init(_ client: WebSocketClient) { self.client = client }

  func write(_ bytes: [UInt8]) throws { try client.send(2, bytes) }

  func read(_ count: Int) throws -> [UInt8] {
    while buffer.count < count {
      let frame = try client.frame()
      guard frame.opcode == 2 else { throw ConnectionEnded() }
      buffer += frame.payload
    }
    defer { buffer.removeFirst(count) }
    return Array(buffer[..<count])
  }
}
