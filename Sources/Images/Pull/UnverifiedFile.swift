import Common
import Foundation
import Glibc
import Hashing
import LinuxSystem

/// A file of bytes that nobody has verified yet: what a download has brought so far, or an archive to import. What
/// is in it counts only once the digest of the whole is right. Its calls block.
final class UnverifiedFile: Sendable {
  let path: String
  /// How many bytes an earlier attempt left.
  let existing: UInt64
  private let file: Int32

  /// Opens or creates the file of a download; one that is longer than `size` is begun anew.
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

  /// Opens a file that is only read, through a symbolic link as well.
  init(reading path: String) throws {
    self.path = path
    file = try systemCall("open", subject: path) { Glibc.open(path, O_RDONLY | O_CLOEXEC) }
    existing = 0
  }

  deinit { close(file) }

  func append(_ bytes: [UInt8]) throws {
    try writeAll(bytes, to: file, subject: path)
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

extension UnverifiedFile {
  /// The digest of a part of it.
  func digest(of extent: FileExtent) throws -> Digest {
    let hash = try MessageDigest(.sha256)
    var done: UInt64 = 0
    while done < extent.size {
      let piece = try read(at: extent.offset + done, count: Int(min(extent.size - done, 1 << 20)))
      guard !piece.isEmpty else { throw BulkheadError(.dataLoss, "\(path) became shorter while it was read") }
      try hash.update(piece)
      done += UInt64(piece.count)
    }
    return try hash.contentDigest()
  }
}
