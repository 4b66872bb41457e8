import CCrypto
import Common
import Foundation
import LinuxSystem

/// The contents of the files that `TLSSettings` names, read once for all connections of a pull.
struct TLSMaterial: Sendable {
  /// Certificates that are trusted beside the system's; empty for none.
  private(set) var authorities = Data()
  private(set) var certificates: Data?
  private(set) var key: Data?
  let verifies: Bool

  /// Throws `failedPrecondition` for a file that can't be read or holds something else. Reads files: for a thread that
  /// may block.
  init(_ settings: TLSSettings) throws {
    verifies = !settings.skipsVerification
    for file in settings.authorityFiles { authorities += try Self.certificates(in: file) + Data("\n".utf8) }
    if let client = settings.client {
      certificates = try Self.certificates(in: client.certificateFile)
      key = try Self.key(in: client.keyFile)
    }
  }

  private static func certificates(in file: String) throws -> Data {
    try read(file, "a certificate") { text in
      var count = 0
      while let certificate = PEM_read_bio_X509(text, nil, refusePassword, nil) {
        X509_free(certificate)
        count += 1
      }
      // The end of the file is the error that no further certificate begins.
      return count > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE
    }
  }

  private static func key(in file: String) throws -> Data {
    try read(file, "a key without a password") { text in
      guard let key = PEM_read_bio_PrivateKey(text, nil, refusePassword, nil) else { return false }
      EVP_PKEY_free(key)
      return true
    }
  }

  private static func read(_ file: String, _ what: String, _ holds: (OpaquePointer) -> Bool) throws -> Data {
    func failure(_ cause: any Error) -> BulkheadError {
      BulkheadError(.failedPrecondition, "a certificate of hosts.toml can't be read (\(file))", cause: cause)
    }
    let bytes: Data
    do { bytes = try Data(contentsOf: URL(fileURLWithPath: file)) } catch { throw failure(error) }
    let isRight = bytes.withUnsafeBytes { buffer in
      guard let text = BIO_new_mem_buf(buffer.baseAddress, Int32(clamping: buffer.count)) else { return false }
      defer {
        BIO_free(text)
        ERR_clear_error()
      }
      ERR_clear_error()
      return holds(text)
    }
    guard isRight else { throw failure(BulkheadError(.failedPrecondition, "the file does not hold \(what) as PEM")) }
    return bytes
  }
}

/// Without it OpenSSL would ask for the password of a key on the terminal.
private func refusePassword(
  _: UnsafeMutablePointer<CChar>?, _: Int32, _: Int32, _: UnsafeMutableRawPointer?
) -> Int32 { -1 }
