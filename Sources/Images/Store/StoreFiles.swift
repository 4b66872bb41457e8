import Common
import Foundation
import Glibc
import LinuxSystem

/// The file operations of the store. All of them block; they belong on a thread that may.
enum StoreFiles {
  static func makeDirectory(_ path: String) throws {
    if mkdir(path, 0o711) != 0, errno != EEXIST { throw SystemError("mkdir", errno, subject: path) }
    // Past the umask, and for a directory that was there.
    try systemCall("chmod", subject: path) { chmod(path, 0o711) }
  }

  /// Writes a new file and waits until it is on the disk.
  static func write(_ bytes: Data, to path: String) throws {
    let file = try open(path, O_WRONLY | O_CREAT | O_TRUNC)
    defer { close(file) }
    try bytes.withUnsafeBytes { try writeAll($0, to: file, subject: path) }
    try systemCall("fsync", subject: path) { fsync(file) }
  }

  /// Opens or creates with mode 0600.
  static func open(_ path: String, _ flags: Int32) throws -> Int32 {
    try systemCall("open", subject: path) { Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600) }
  }

  /// At most `limit` bytes of a file; throws `dataLoss` if it has more.
  static func read(_ path: String, limit: Int) throws -> Data {
    guard size(path) ?? 0 <= limit, let bytes = FileManager.default.contents(atPath: path) else {
      throw BulkheadError(.dataLoss, "\(path) can't be read")
    }
    return bytes
  }

  static func sync(_ path: String) throws {
    let file = try systemCall("open", subject: path) { Glibc.open(path, O_RDONLY | O_CLOEXEC) }
    defer { close(file) }
    try systemCall("fsync", subject: path) { fsync(file) }
  }

  /// Renames, and waits until the directory of the new name is on the disk.
  static func renameDurably(_ from: String, to path: String) throws {
    try systemCall("rename", subject: from) { rename(from, path) }
    try sync((path as NSString).deletingLastPathComponent)
  }

  /// The size in bytes of a regular file; nil where there is none.
  static func size(_ path: String) -> UInt64? {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return UInt64(exactly: status.st_size)
  }

  /// When a file was last written to, nanoseconds since 1970.
  static func modified(_ path: String) -> Int64? {
    var status = stat()
    guard lstat(path, &status) == 0 else { return nil }
    return Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
  }

  static func names(in directory: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
  }

  /// Deletes a file or a tree; what is not there is deleted already.
  static func remove(_ path: String) {
    try? FileManager.default.removeItem(atPath: path)
  }

  /// Bytes on disk and inodes of everything under `path`, itself included.
  static func usage(_ path: String) -> (bytes: UInt64, inodes: UInt64) {
    var bytes: UInt64 = 0
    var inodes: UInt64 = 0
    var pending = [path]
    while let next = pending.popLast() {
      var status = stat()
      guard lstat(next, &status) == 0 else { continue }
      bytes &+= UInt64(clamping: status.st_blocks) &* 512
      inodes &+= 1
      if status.st_mode & S_IFMT == S_IFDIR { pending += names(in: next).map { "\(next)/\($0)" } }
    }
    return (bytes, inodes)
  }

  /// What an unprivileged writer could still write to the file system of `path`.
  static func free(_ path: String) throws -> ByteCount {
    var status = statvfs()
    try systemCall("statvfs", subject: path) { statvfs(path, &status) }
    return ByteCount(
      bytes: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
  }

  /// `error` as `resourceExhausted` where it says that the disk, or the quota, is full.
  static func explainingFullDisk(_ error: any Error, _ path: String) -> any Error {
    guard let system = error as? SystemError, system.number == ENOSPC || system.number == EDQUOT else { return error }
    return BulkheadError(
      .resourceExhausted, "the disk of \(path) is full: remove images or make room there", cause: error)
  }
}
