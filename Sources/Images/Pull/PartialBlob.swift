import Common
import Foundation
import Glibc
import LinuxSystem

/// The file that a blob is downloaded to, as far as it has come. It is not trusted: what is in it counts only once
/// the digest of the whole is right. Its calls block.
final class PartialBlob: Sendable {
  let path: String
  /// How many bytes an earlier attempt left.
  let existing: UInt64
  private let file: Int32

  /// Opens or creates it; one that is longer than `size` is begun anew.
  init(path: String, size: UInt64) throws {
    self.path = path
    file = try StoreFiles.open(path, O_RDWR | O_CREAT | O_APPEND)
    var existing = StoreFiles.size(path) ?? 0
    if existing > size {
      try systemCall("ftruncate", subject: path) { [file] in ftruncate(file, 0) }
      existing = 0
    }
    self.existing = existing
  }

  deinit { close(file) }

  func append(_ bytes: [UInt8]) throws {
    try StoreFiles.writeAll(file, bytes, subject: path)
  }

  /// At most `count` bytes from `offset`; fewer at the end.
  func read(at offset: UInt64, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let read = try bytes.withUnsafeMutableBytes { buffer in
      try systemCall("pread", subject: path) { pread(file, buffer.baseAddress, count, off_t(clamping: offset)) }
    }
    bytes.removeLast(count - read)
    return bytes
  }

  func remove() { StoreFiles.remove(path) }
}
