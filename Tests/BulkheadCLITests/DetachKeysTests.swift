import Testing

@testable import BulkheadCLI

struct DetachKeysTests {
  /// Feeds the pieces; what came through, and after which of them the user had detached.
  private func feed(_ pieces: [UInt8]...) -> (passed: [UInt8], detachedAt: Int?) {
    var keys = DetachKeys()
    var passed: [UInt8] = []
    for (index, piece) in pieces.enumerated() {
      let (bytes, detached) = keys.feed(piece)
      passed += bytes
      if detached { return (passed, index) }
    }
    return (passed, nil)
  }

  @Test func `ctrl-p ctrl-q detaches, in one piece or two`() {
    #expect(feed([0x61, 0x10, 0x11, 0x62]) == ([0x61], 0))
    #expect(feed([0x61, 0x10], [0x11]) == ([0x61], 1))
    #expect(feed([0x10], [0x10], [0x11]) == ([0x10], 2))
  }

  @Test func `everything else goes through as it was typed`() {
    #expect(feed([0x10], [0x61]) == ([0x10, 0x61], nil))
    #expect(feed([0x11, 0x10, 0x10, 0x62]) == ([0x11, 0x10, 0x10, 0x62], nil))
    #expect(feed(Array("plain".utf8)) == (Array("plain".utf8), nil))
  }

  @Test(arguments: [
    ("8080", PortPair(argument: "8080:8080")), ("0:80", PortPair(argument: "0:80")), ("", nil), ("80:", nil),
    (":80", nil), ("80:0", nil), ("65536", nil), ("1:2:3", nil), ("x", nil),
  ]) func `ports are LOCAL:REMOTE or one for both`(text: String, expected: PortPair?) {
    #expect(PortPair(argument: text) == expected)
    if text == "8080" { #expect(PortPair(argument: text)?.local == 8080) }
  }
}
