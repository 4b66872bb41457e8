import Common
import Glibc
import LinuxSystem

/// An open file, closed when the last reference goes.
final class LogFile: Sendable {
  private let descriptor: Int32
  let path: String

  private init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  /// Opens a regular file. Never follows a link as the path's last part, never waits for a pipe's other end.
  static func open(_ path: String, flags: Int32, mode: mode_t = 0) throws(SystemError) -> LogFile {
    let flags = flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
    let descriptor = try systemCall("open", subject: path) { Glibc.open(path, flags, mode) }
    let file = LogFile(descriptor: descriptor, path: path)
    guard try file.status().st_mode & S_IFMT == S_IFREG else { throw SystemError("open", EINVAL, subject: path) }
    if flags & O_CREAT != 0 { try systemCall("fchmod", subject: path) { fchmod(descriptor, mode) } }
    return file
  }

  private func status() throws(SystemError) -> stat {
    var status = stat()
    try systemCall("fstat", subject: path) { fstat(descriptor, &status) }
    return status
  }

  /// Which file it is, and its size in bytes.
  func inspect() throws(SystemError) -> (identity: FileIdentity, size: UInt64) {
    let status = try status()
    return (FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)), UInt64(clamping: status.st_size))
  }

  func truncate(to size: UInt64) throws(SystemError) {
    try systemCall("ftruncate", subject: path) { ftruncate(descriptor, off_t(clamping: size)) }
  }

  /// At the end of a file opened with O_APPEND, with as few writes as the kernel takes: one.
  func append(_ bytes: [UInt8]) throws(SystemError) {
    try writeAll(bytes, to: descriptor, subject: path)
  }

  /// In one write, so that another process or the next daemon sees all of it or nothing.
  func overwriteStart(_ bytes: [UInt8]) throws(SystemError) {
    let written = try systemCall("pwrite", subject: path) {
      bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }
    guard written == bytes.count else { throw SystemError("pwrite", ENOSPC, subject: path) }
  }

  /// At most `count` bytes from `offset`; fewer, or none, at the end of the file.
  func read(at offset: UInt64, count: Int) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = try systemCall("pread", subject: path) {
      bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, off_t(clamping: offset)) }
    }
    bytes.removeLast(count - got)
    return bytes
  }
}

/// `error` as an operator should hear it.
func logError(_ error: SystemError, _ path: String) -> BulkheadError {
  switch error.number {
  case ENOSPC, EDQUOT, EFBIG:
    BulkheadError(.resourceExhausted, "no space for container log \(printable(path))", cause: error)
  case EACCES, EPERM, EROFS:
    BulkheadError(.permissionDenied, "container log \(printable(path)) can't be written", cause: error)
  case ENOENT: BulkheadError(.notFound, "container log \(printable(path)) is not there", cause: error)
  default: BulkheadError(.internalError, "container log \(printable(path))", cause: error)
  }
}

/// The directory that `path` is in.
func parentDirectory(of path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// The file of this identity among those in a directory: a log that was renamed.
func findFile(_ identity: FileIdentity, in directory: String) -> String? {
  guard let stream = opendir(directory) else { return nil }
  defer { closedir(stream) }
  while let entry = readdir(stream) {
    guard entry.pointee.d_ino == identity.inode else { continue }
    let name = withUnsafePointer(to: entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    let path = "\(directory)/\(name)"
    var status = stat()
    if lstat(path, &status) == 0, UInt64(status.st_dev) == identity.device { return path }
  }
  return nil
}
