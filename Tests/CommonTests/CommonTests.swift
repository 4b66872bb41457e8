import Common
import Testing

@Suite struct CommonTests {
  @Test func identifiersAreExactlySixtyFourHexDigits() {
    #expect(PodID(String(repeating: "0", count: 64)) != nil)
    #expect(PodID(String(repeating: "0", count: 63)) == nil)
    #expect(PodID(String(repeating: "A", count: 64)) == nil)
    #expect(PodID.random() != PodID.random())
    #expect(PodID(PodID.random().text) != nil)
  }

  @Test func digestsAreSHA256Only() {
    let hex = String(repeating: "ab", count: 32)
    #expect(Digest("sha256:\(hex)")?.description == "sha256:\(hex)")
    #expect(Digest("sha512:\(hex)") == nil)
    #expect(Digest("sha256:../../etc") == nil)
  }

  /// What a guest or an image says must not move an operator's cursor.
  @Test func controlCharactersAreShownAsEscapes() {
    #expect(printable("a\u{1b}[2Jb\n") == "a\\u{1b}[2Jb\\u{a}")
    #expect(printable("right\u{202e}left") == "right\\u{202e}left")
    #expect(printable("höflich ✓") == "höflich ✓")
    #expect(printable("abcdef", limit: 3) == "abc…")
  }

  @Test func sizesAreShownWithBinaryUnits() {
    #expect(ByteCount(bytes: 1000).description == "1000 B")
    #expect(ByteCount.mebibytes(256).description == "256.0 MiB")
    #expect(ByteCount(bytes: 1_610_612_736).description == "1.5 GiB")
  }

  @Test func anErrorTellsItsCauses() {
    let inner = BulkheadError(.notFound, "no file")
    let outer = BulkheadError(.internalError, "cannot start", cause: inner)
    #expect("\(outer)" == "cannot start: no file")
    #expect(BulkheadError.wrapping(CancellationError(), "pulling").code == .cancelled)
  }
}
