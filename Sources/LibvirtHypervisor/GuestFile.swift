import CLinux
import Common
import Foundation
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// The kernel and the boot image, which every machine's QEMU reads as a user of its own.
enum GuestFile {
  /// A path at which any user can read the file: its own, or where a directory on the way is closed to
  /// others (a checkout in /root) that of a copy in `directory`, which exists. Throws
  /// `failedPrecondition`, with what to do, if there is no such file.
  static func readable(_ path: String, _ what: String, copyIn directory: String) throws -> String {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw BulkheadError(
        .failedPrecondition,
        "\(what) \(printable(path)) does not exist; build it with \"make build\" or correct the path")
    }
    if try isReadableByAll(path) { return path }
    // Another file gets another name: machines that run may still be reading the old one.
    let copy = "\(directory)/\(status.st_ino)-\(status.st_size)-\(status.st_mtim.tv_sec)-\(status.st_mtim.tv_nsec)"
    if access(copy, R_OK) != 0 { try copyFile(path, to: copy) }
    return copy
  }

  /// Removes what was copied of files that have been replaced since. Machines that run keep theirs open.
  static func removeCopies(in directory: String, except kept: [String]) throws {
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
      let path = "\(directory)/\(name)"
      if !kept.contains(path) { try removeFile(path) }
    }
  }

  private static func isReadableByAll(_ path: String) throws(SystemError) -> Bool {
    guard let resolved = realpath(path, nil) else { throw SystemError("realpath", errno, subject: path) }
    defer { free(resolved) }
    let whole = String(cString: resolved)
    var status = stat()
    try systemCall("stat", subject: whole) { stat(whole, &status) }
    guard status.st_mode & S_IROTH != 0 else { return false }
    var directory = whole
    while let slash = directory.lastIndex(of: "/"), directory != "/" {
      directory = slash == directory.startIndex ? "/" : String(directory[..<slash])
      try systemCall("stat", subject: directory) { stat(directory, &status) }
      guard status.st_mode & S_IXOTH != 0 else { return false }
    }
    return true
  }

  private static func copyFile(_ path: String, to copy: String) throws(SystemError) {
    let new = copy + ".new"
    let source = try systemCall("open", subject: path) { open(path, O_RDONLY | O_CLOEXEC) }
    defer { close(source) }
    let target = try systemCall("open", subject: new) { open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o444) }
    defer { close(target) }
    while try systemCall("copy_file_range", subject: new, { bh_copy_file_range(source, nil, target, nil, 1 << 30) }) > 0
    {}
    try systemCall("fchmod", subject: new) { fchmod(target, 0o444) }
    try systemCall("rename", subject: copy) { rename(new, copy) }
  }
}
