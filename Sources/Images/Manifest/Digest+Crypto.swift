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
    guard let digest = Common.Digest(hex: hexString(self)) else {
      preconditionFailure("SHA-256 has 32 bytes")
    }
    return digest
  }
}
