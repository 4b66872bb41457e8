import Common
import Crypto
import Foundation

extension Common.Digest {
  /// The digest of `bytes`.
  init(of bytes: Data) {
    self = SHA256.hash(data: bytes).contentDigest
  }
}

extension SHA256.Digest {
  var contentDigest: Common.Digest {
    var bytes = InlineArray<32, UInt8>(repeating: 0)
    for (index, byte) in zip(bytes.indices, self) { bytes[index] = byte }
    return Common.Digest(sha256: bytes)
  }
}
