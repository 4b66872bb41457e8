import CLinux
import Common
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A file or directory of the host that a container is to see, held by a descriptor, so that what was looked
/// at is what gets mounted whatever becomes of its path. Calls block.
public final class HostSource: Sendable {
  public let descriptor: Int32
  /// Where it is, symbolic links resolved.
  public let path: String
  public let isDirectory: Bool
  public let device: UInt64
  public let inode: UInt64
  /// ST_* of statvfs(3), of the mount that it is in.
  public let mountFlags: UInt64
  public let owner: (mode: UInt32, uid: UInt32, gid: UInt32)
  let filesystem: bh_filesystem
  let mountID: UInt64
  let isMountRoot: Bool

  /// Opens what `path` leads to. What is missing is made as a directory, its parents too. Throws
  /// `invalidArgument` for what a virtual machine can't be shown.
  public init(_ path: String) throws(BulkheadError) {
    do throws(SystemError) {
      descriptor = try Self.open(path)
    } catch {
      throw BulkheadError(
        error.number == ENOENT || error.number == ENOTDIR || error.number == ELOOP
          ? .failedPrecondition : .internalError,
        "the host path \(printable(path, limit: 256)) can't be opened", cause: error)
    }
    var status = stat()
    var filesystem = bh_filesystem()
    guard fstat(descriptor, &status) == 0, bh_filesystem(descriptor, &filesystem) == 0,
      let resolved = Self.resolved(descriptor)
    else {
      let error = SystemError("stat", errno, subject: printable(path, limit: 256))
      close(descriptor)
      throw BulkheadError(
        .internalError, "the host path \(printable(path, limit: 256)) can't be looked at", cause: error)
    }
    self.path = resolved
    self.filesystem = filesystem
    isDirectory = status.st_mode & S_IFMT == S_IFDIR
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    mountFlags = filesystem.flags
    owner = (status.st_mode & 0o7777, status.st_uid, status.st_gid)
    mountID = bh_mount_id(descriptor)
    isMountRoot = bh_is_mount_root(descriptor) == 1
    try Self.check(status.st_mode, filesystem, path)
  }

  deinit { close(descriptor) }

  private static func open(_ path: String) throws(SystemError) -> Int32 {
    do throws(SystemError) {
      return try systemCall("open") { bh_open_path(path, 0) }
    } catch {
      guard error.number == ENOENT else { throw error }
    }
    try makeDirectories(path, mode: 0o755)
    return try systemCall("open") { bh_open_path(path, 0) }
  }

  /// The kernel's own name of the descriptor. Nil for one that has none: it was deleted meanwhile.
  private static func resolved(_ descriptor: Int32) -> String? {
    var target = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = readlink("/proc/self/fd/\(descriptor)", &target, target.count)
    guard length > 0 else { return nil }
    return String(validating: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func check(
    _ mode: mode_t, _ filesystem: bh_filesystem, _ path: String
  ) throws(BulkheadError) {
    let shown = printable(path, limit: 256)
    if filesystem.type == hugetlbfsMagic {
      throw BulkheadError(
        .unimplemented, "\(shown) is a volume of huge pages, which can't be shared with a virtual machine: remove it")
    }
    switch mode & S_IFMT {
    case S_IFDIR, S_IFREG: return
    case S_IFBLK:
      throw BulkheadError(
        .invalidArgument, "\(shown) is a block device: use volumeDevices, a mount can't bring it into a virtual machine"
      )
    case S_IFSOCK:
      throw BulkheadError(
        .invalidArgument,
        "\(shown) is a socket: nobody in a virtual machine can reach who listens there; use the network")
    default:
      throw BulkheadError(
        .invalidArgument, "\(shown) is neither a directory nor a regular file: a virtual machine can't be shown it")
    }
  }

  private static let hugetlbfsMagic: Int64 = 0x958458f6
  static let tmpfsMagic: Int64 = 0x01021994
}
