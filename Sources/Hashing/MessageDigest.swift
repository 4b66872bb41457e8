import CCrypto
import Common

/// A hash by libcrypto, which uses the processor's own instructions, of bytes that come in pieces. Every step can
/// fail: the OpenSSL configuration of a node may offer no algorithm at all. For one thread at a time.
public final class MessageDigest {
  public enum Algorithm: String, Sendable {
    case sha256 = "SHA-256"
    /// Where a protocol asks for it, and nothing rests on it.
    case sha1 = "SHA-1"

    fileprivate var implementation: OpaquePointer? {
      switch self {
      case .sha256: EVP_sha256()
      case .sha1: EVP_sha1()
      }
    }
  }

  private let algorithm: Algorithm
  private let context: OpaquePointer

  public init(_ algorithm: Algorithm) throws(BulkheadError) {
    guard let context = EVP_MD_CTX_new() else { throw Self.failure(algorithm) }
    self.algorithm = algorithm
    self.context = context
    try check(EVP_DigestInit_ex(context, algorithm.implementation, nil))
  }

  deinit { EVP_MD_CTX_free(context) }

  public func update(_ bytes: UnsafeRawBufferPointer) throws(BulkheadError) {
    try check(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count))
  }

  public func update(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes(update) }

  /// The hash of all that came; the end of this object's use.
  public func finish() throws(BulkheadError) -> [UInt8] {
    var hash = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    try check(EVP_DigestFinal_ex(context, &hash, &count))
    return Array(hash.prefix(Int(count)))
  }

  private func check(_ result: Int32) throws(BulkheadError) {
    guard result == 1 else { throw Self.failure(algorithm) }
  }

  private static func failure(_ algorithm: Algorithm) -> BulkheadError {
    BulkheadError(
      .internalError, "libcrypto can't compute \(algorithm.rawValue): see what openssl.cnf of this node allows")
  }
}
