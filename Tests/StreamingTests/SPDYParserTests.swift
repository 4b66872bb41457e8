import NIOCore
import TestSupport
import Testing

@testable import Streaming

@Suite struct SPDYParserTests {
  private let client = SPDYClient(NoPipe())

  private func events(_ bytes: [UInt8], pieces: Int = .max) throws -> [SPDYParser.Event] {
    var parser = SPDYParser()
    return try parser.events(of: bytes, pieces: pieces)
  }

  @Test func dictionaryIsTheSpecifications() {
    #expect(SPDYDictionary.bytes.count == 1423)
    var a: UInt32 = 1
    var b: UInt32 = 0
    for byte in SPDYDictionary.bytes {
      a = (a + UInt32(byte)) % 65521
      b = (b + a) % 65521
    }
    #expect(b << 16 | a == SPDYDictionary.adler32)
  }

  @Test(arguments: [1, 2, 7, 8, 9, 100, Int.max])
  func framesInPiecesOfAnySize(pieces: Int) throws {
    let deflater = HeaderDeflater()
    let first = HeaderBlock(["streamtype": "stdin"])
    let second = HeaderBlock(["streamtype": "data", "port": "80", "requestid": "0"])
    let bytes =
      client.synStream(1, try deflater.deflate(first.encoded))
      + client.control(4, client.word(1) + [0, 0, 0, 7] + client.word(65536))
      + client.synStream(3, try deflater.deflate(second.encoded), isLast: true)
      + client.word(1) + [0, 0, 0, 5] + Array("hello".utf8)
      + client.control(9, client.word(1) + client.word(5))
      + client.control(6, client.word(77)) + client.control(3, client.word(1) + client.word(5))
      + client.control(200, [1, 2, 3]) + client.word(3) + [1, 0, 0, 0]
      + client.control(7, client.word(0) + client.word(0))
    var found = try events(bytes, pieces: pieces)
    var text: [UInt8] = []
    found.removeAll { event in
      guard case .data(1, let bytes, false) = event else { return false }
      text += bytes.readableBytesView
      return true
    }
    #expect(String(decoding: text, as: UTF8.self) == "hello")
    #expect(
      found == [
        .opened(stream: 1, headers: first, isLast: false), .opened(stream: 3, headers: second, isLast: true),
        .ping(id: 77), .reset(stream: 1), .data(stream: 3, ByteBuffer(), isLast: true), .goAway,
      ])
  }

  @Test func aLongDataFrameIsNotHeldBack() throws {
    var parser = SPDYParser()
    parser.append(ByteBuffer(bytes: client.word(1) + [1, 0xff, 0xff, 0xff] + [1, 2, 3]))
    #expect(try parser.next() == .data(stream: 1, ByteBuffer(bytes: [1, 2, 3]), isLast: false))
    #expect(try parser.next() == nil)
  }

  @Test func violations() throws {
    let deflated = try HeaderDeflater().deflate(HeaderBlock(["streamtype": "stdin"]).encoded)
    #expect(throws: SPDYViolation.unsupportedVersion(2)) { try events([0x80, 2, 0, 1, 0, 0, 0, 0]) }
    #expect(throws: SPDYViolation.frameTooLarge(length: 0xffffff)) {
      try events([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff])
    }
    #expect(throws: SPDYViolation.malformed(frame: .ping, length: 5)) {
      try events(client.control(6, [0, 0, 0, 1, 9]))
    }
    #expect(throws: SPDYViolation.malformed(frame: .synStream, length: 3)) { try events(client.control(1, [0, 0, 0])) }
    #expect(throws: SPDYViolation.malformed(frame: .settings, length: 4)) {
      try events(client.control(4, client.word(.max)))
    }
    #expect(throws: SPDYViolation.badCompression) { try events(client.synStream(1, [1, 2, 3, 4, 5, 6])) }
    #expect(throws: SPDYViolation.badStreamID(2)) { try events(client.synStream(2, deflated)) }
    #expect(throws: SPDYViolation.badStreamID(0)) { try events(client.synStream(0, deflated)) }
  }

  @Test func streamIDsOnlyGrow() throws {
    let deflater = HeaderDeflater()
    let block = HeaderBlock(["streamtype": "stdin"]).encoded
    let bytes = client.synStream(5, try deflater.deflate(block)) + client.synStream(3, try deflater.deflate(block))
    #expect(throws: SPDYViolation.badStreamID(3)) { try events(bytes) }
  }

  @Test func compressionBomb() throws {
    // A megabyte of one letter, in two kilobytes.
    let bomb = try HeaderDeflater().deflate([UInt8](repeating: 65, count: 1 << 20))
    #expect(bomb.count < SPDYParser.maximumControlFrame)
    #expect(throws: SPDYViolation.headersTooLarge) { try events(client.synStream(1, bomb)) }
  }

  @Test func headerBlocksThatLie() throws {
    func parse(_ block: [UInt8]) throws -> SPDYViolation? {
      do throws(SPDYViolation) {
        _ = try HeaderBlock(parsing: block)
        return nil
      } catch { return error }
    }
    let name: [UInt8] = [0, 0, 0, 1, 97, 0, 0, 0, 0]
    #expect(try parse([0, 0, 0, 1] + name) == nil)
    #expect(try parse([]) == .badHeaders("no count"))
    #expect(try parse([0xff, 0xff, 0xff, 0xff]) == .badHeaders("4294967295 headers"))
    #expect(try parse([0, 0, 0, 2] + name + name) == .badHeaders("a twice"))
    #expect(try parse([0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]) == .badHeaders("cut off"))
    #expect(try parse([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]) == .badHeaders("a header without a name"))
    #expect(try parse([0, 0, 0, 0, 1]) == .badHeaders("1 bytes too many"))
  }

  /// Whatever bytes come in whatever pieces: events or one violation, never a trap, and no more held than
  /// one control frame.
  @Test func fuzz() throws {
    var random = SeededRandom(seed: 31)
    for _ in 0..<3000 {
      var bytes: [UInt8] = []
      for index in 0..<Int.random(in: 1...6, using: &random) {
        let junk = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        switch Int.random(in: 0...4, using: &random) {
        case 0: bytes += junk
        case 1: bytes += client.control(UInt16.random(in: 0...10, using: &random), junk)
        case 2: bytes += client.word(1) + [1, 0, 0, UInt8(junk.count)] + junk
        case 3: bytes += client.synStream(UInt32(index * 2 + 1), junk)
        default: bytes += client.synStream(UInt32(index * 2 + 1), try HeaderDeflater().deflate(junk))
        }
      }
      for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
        bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      var parser = SPDYParser()
      var rest = bytes[...]
      do throws(SPDYViolation) {
        while !rest.isEmpty {
          let piece = rest.prefix(Int.random(in: 1...64, using: &random))
          rest = rest.dropFirst(piece.count)
          parser.append(ByteBuffer(bytes: piece))
          while try parser.next() != nil {}
        }
      } catch {
        #expect(throws: error) { try parser.next() }
      }
    }
  }
}

private struct NoPipe: BytePipe {
  func write(_ bytes: [UInt8]) throws { throw ConnectionEnded() }
  func read(_ count: Int) throws -> [UInt8] { throw ConnectionEnded() }
}
