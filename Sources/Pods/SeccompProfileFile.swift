import Common
import Foundation
import Glibc
import LinuxSystem
import OCISpec

/// The profile of the node that a container asks for (the CRI's Localhost).
enum SeccompProfileFile {
  /// Docker's own profile, the largest in use, is 18 KB.
  static let largest = 256 << 10

  /// Throws `invalidArgument` if `path` is no profile. A link is followed: the node's directories are the
  /// operator's.
  static func read(_ path: String) async throws -> SeccompProfile {
    let bytes = try await onDedicatedThread { try content(path) }
    return try decode(bytes, path)
  }

  static func decode(_ bytes: Data, _ path: String) throws(BulkheadError) -> SeccompProfile {
    do { return try JSONDecoder().decode(SeccompProfile.self, from: bytes) } catch let error as DecodingError {
      throw refusal(path, "is not in the OCI runtime specification's format: \(error.place)")
    } catch { throw refusal(path, "is not JSON") }
  }

  private static func content(_ path: String) throws -> Data {
    let file: Int32
    do throws(SystemError) {
      // Not waiting for a FIFO's other end.
      file = try systemCall("open") { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) }
    } catch { throw refusal(path, "can't be read: \(error)") }
    defer { close(file) }
    var status = stat()
    try systemCall("fstat", subject: path) { fstat(file, &status) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw refusal(path, "is not a file") }
    var bytes = Data()
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while bytes.count <= largest {
      let count = try systemCall("read", subject: path) { Glibc.read(file, &buffer, buffer.count) }
      if count == 0 { return bytes }
      bytes.append(contentsOf: buffer.prefix(count))
    }
    throw refusal(path, "is larger than \(largest >> 10) KiB")
  }

  private static func refusal(_ path: String, _ why: String) -> BulkheadError {
    BulkheadError(.invalidArgument, "seccomp.localhost_ref: the profile \(printable(path, limit: 256)) \(why)")
  }
}

extension DecodingError {
  /// Where in the document something is wrong, and what.
  fileprivate var place: String {
    let context: Context
    switch self {
    case .keyNotFound(let key, let found):
      return "\(Self.path(found.codingPath)) lacks \"\(key.stringValue)\""
    case .typeMismatch(_, let found), .valueNotFound(_, let found), .dataCorrupted(let found): context = found
    @unknown default: return "it can't be decoded"
    }
    return "\(Self.path(context.codingPath)): \(printable(context.debugDescription, limit: 200))"
  }

  private static func path(_ keys: [any CodingKey]) -> String {
    keys.isEmpty
      ? "it"
      : keys.reduce(into: "") { text, key in
        text += key.intValue.map { "[\($0)]" } ?? (text.isEmpty ? key.stringValue : ".\(key.stringValue)")
      }
  }
}
