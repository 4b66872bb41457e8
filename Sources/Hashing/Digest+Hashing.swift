import Common
import FoundationEssentials

extension MessageDigest {
  /// `finish` of SHA-256, as content is named by it.
  public func contentDigest() throws -> Digest {
    guard let digest = Digest(hex: hexString(try finish())) else {
      throw BulkheadError(.internalError, "content is named by SHA-256, and this is another hash")
    }
    return digest
  }
}

extension Digest {
  /// The digest of `bytes`.
  public init(of bytes: some ContiguousBytes) throws {
    let hash = try MessageDigest(.sha256)
    try bytes.withUnsafeBytes { try hash.update($0) }
    self = try hash.contentDigest()
  }
}
