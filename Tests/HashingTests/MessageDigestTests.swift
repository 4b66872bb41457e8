import Common
import Foundation
import Testing

@testable import Hashing

struct MessageDigestTests {
  /// FIPS 180-4's examples, and the empty message.
  @Test(arguments: [
    (MessageDigest.Algorithm.sha256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (.sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (.sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
  ])
  func examples(algorithm: MessageDigest.Algorithm, message: String, expected: String) throws {
    let hash = try MessageDigest(algorithm)
    try hash.update(Array(message.utf8))
    #expect(hexString(try hash.finish()) == expected)
  }

  @Test(arguments: [1, 63, 64, 65, 1000])
  func piecesOfAnySizeGiveTheSame(piece: Int) throws {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let hash = try MessageDigest(.sha256)
    for start in stride(from: 0, to: bytes.count, by: piece) {
      try hash.update(Array(bytes[start..<min(start + piece, bytes.count)]))
    }
    #expect(try hash.contentDigest() == Digest(of: Data(bytes)))
  }

  @Test func contentIsNamedBySHA256Only() throws {
    #expect(
      try Digest(of: Data("abc".utf8)).description
        == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(throws: BulkheadError.self) { try MessageDigest(.sha1).contentDigest() }
  }
}
