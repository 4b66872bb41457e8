import CLinux
import Common
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A block device of the host's.
public struct BlockDevice: Sendable, Equatable {
  /// Symbolic links resolved.
  public var path: String
  public var major: UInt64
  public var minor: UInt64
  public var size: ByteCount
  public var mode: UInt32
  public var uid: UInt32
  public var gid: UInt32

  /// Looks at what `path` leads to. Throws `invalidArgument` for anything but a block device. Blocks.
  public init(_ path: String) throws(BulkheadError) {
    let shown = printable(path, limit: 256)
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw BulkheadError(.notFound, "device \(shown)", cause: SystemError("stat", errno))
    }
    guard status.st_mode & S_IFMT == S_IFBLK else {
      throw BulkheadError(
        .invalidArgument,
        "\(shown) is no block device: a virtual machine has none of the host's other devices; use a runtime class that shares the node's kernel"
      )
    }
    do throws(SystemError) {
      let file = try systemCall("open") { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
      defer { close(file) }
      var (bytes, block): (UInt64, UInt32) = (0, 0)
      try systemCall("ioctl") { bh_block_device(file, &bytes, &block) }
      size = ByteCount(bytes: bytes)
      guard let name = realpath(path, nil) else { throw SystemError("realpath", errno) }
      defer { free(name) }
      self.path = String(cString: name)
    } catch {
      throw BulkheadError(.failedPrecondition, "device \(shown) can't be used", cause: error)
    }
    major = bh_device_major(status.st_rdev)
    minor = bh_device_minor(status.st_rdev)
    (mode, uid, gid) = (status.st_mode & 0o7777, status.st_uid, status.st_gid)
  }
}
