import NIOCore
import TestSupport
import Testing

@testable import Streaming

@Suite struct WebSocketParserTests {
  private func events(_ bytes: [UInt8], pieces: Int = .max) throws -> [WebSocketParser.Event] {
    var parser = WebSocketParser()
    return try parser.events(of: bytes, pieces: pieces)
  }

  private func frame(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] {
    let mask: [UInt8] = [9, 8, 7, 6]
    return [first, 0x80 | UInt8(payload.count)] + mask + payload.enumerated().map { $1 ^ mask[$0 % 4] }
  }

  /// RFC 6455 5.7: "Hello", masked.
  private let hello: [UInt8] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]

  @Test func theSpecificationsExample() throws {
    #expect(
      try events(hello) == [.data(ByteBuffer(string: "Hello"), isText: true, isFirst: true, isLast: true)])
  }

  @Test(arguments: [1, 2, 3, 5, 6, 7, 64])
  func fragmentsAndControlFramesInPiecesOfAnySize(pieces: Int) throws {
    let bytes =
      frame(0x02, Array("one ".utf8)) + frame(0x89, Array("ping".utf8)) + frame(0x00, Array("two ".utf8))
      + frame(0x80, Array("three".utf8)) + frame(0x8a, []) + frame(0x88, [3, 232, 98, 121, 101])
    var message: [UInt8] = []
    var firsts = 0
    var lasts = 0
    var others: [WebSocketParser.Event] = []
    for event in try events(bytes, pieces: pieces) {
      guard case .data(let bytes, false, let isFirst, let isLast) = event else {
        others.append(event)
        continue
      }
      message += bytes.readableBytesView
      firsts += isFirst ? 1 : 0
      lasts += isLast ? 1 : 0
    }
    #expect(String(decoding: message, as: UTF8.self) == "one two three")
    #expect(firsts == 1 && lasts == 1)
    #expect(others == [.ping(ByteBuffer(string: "ping")), .close(code: 1000)])
  }

  @Test func violations() {
    #expect(throws: WebSocketViolation.notMasked) { try events([0x82, 1, 0]) }
    #expect(throws: WebSocketViolation.reservedBits) { try events([0xc2, 0x80]) }
    #expect(throws: WebSocketViolation.unknownOpcode(3)) { try events([0x83, 0x80]) }
    #expect(throws: WebSocketViolation.badControlFrame) { try events([0x09, 0x80]) }
    #expect(throws: WebSocketViolation.badControlFrame) { try events([0x89, 0xfe, 0, 126]) }
    #expect(throws: WebSocketViolation.badControlFrame) { try events(frame(0x88, [1])) }
    #expect(throws: WebSocketViolation.outOfOrder) { try events(frame(0x80, [1])) }
    #expect(throws: WebSocketViolation.outOfOrder) { try events(frame(0x02, [1]) + frame(0x82, [1])) }
    #expect(throws: WebSocketViolation.frameTooLarge(1 << 63)) { try events([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]) }
  }

  @Test func base64InPieces() throws {
    var reader = MessageReader(channels: .v4Base64)
    var found: [UInt8] = []
    let pieces = ["0", "aG", "Vs", "bG", "8="]
    for (index, piece) in pieces.enumerated() {
      let part = try reader.read(ByteBuffer(string: piece), isFirst: index == 0, isLast: index == pieces.count - 1)
      if case .data(0, let bytes) = part { found += bytes.readableBytesView }
    }
    #expect(String(decoding: found, as: UTF8.self) == "hello")
    #expect(throws: WebSocketViolation.badBase64) {
      try reader.read(ByteBuffer(string: "0aGV"), isFirst: true, isLast: true)
    }
    #expect(throws: WebSocketViolation.badBase64) {
      try reader.read(ByteBuffer(string: "x"), isFirst: true, isLast: true)
    }
  }

  @Test func fuzz() {
    var random = SeededRandom(seed: 6455)
    for _ in 0..<5000 {
      var bytes: [UInt8] = []
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let junk = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        bytes += Bool.random(using: &random) ? junk : frame(UInt8.random(in: 0...255, using: &random), junk)
      }
      var parser = WebSocketParser()
      var reader = MessageReader(channels: Bool.random(using: &random) ? .v5 : .v4Base64)
      var rest = bytes[...]
      do throws(WebSocketViolation) {
        while !rest.isEmpty {
          let piece = rest.prefix(Int.random(in: 1...64, using: &random))
          rest = rest.dropFirst(piece.count)
          parser.append(ByteBuffer(bytes: piece))
          while let event = try parser.next() {
            guard case .data(let bytes, _, let isFirst, let isLast) = event else { continue }
            _ = try? reader.read(bytes, isFirst: isFirst, isLast: isLast)
          }
        }
      } catch {
        #expect(throws: error) { try parser.next() }
      }
    }
  }
}
