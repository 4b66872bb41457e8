import CLinux
import Common
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// The directory that virtiofsd shows to one pod's guest: a small tmpfs in which everything that containers
/// mount is bind-mounted, and nothing else is. Mounts made in it later reach virtiofsd, whose namespace is a
/// slave of ours, because it is a shared mount. It is read-only, so that a guest can neither fill it nor
/// put anything in the way of a mount point; we make mount points through a copy of the mount that isn't.
///
/// Calls block, and all can be repeated after a failure at any point.
public struct ShareDirectory: Sendable, Equatable {
  public let path: String
  private static let options = "size=1m,nr_inodes=8192,mode=0700"

  public init(path: String) { self.path = path }

  /// Makes it, unless it is there.
  public func make() throws {
    try makeDirectories(path, mode: 0o700)
    var root = try Opened(path)
    if bh_is_mount_root(root.number) != 1 {
      try systemCall("mount", subject: path) { bh_mount_tmpfs(path, Self.options) }
      root = try Opened(path)
    }
    try set(root, set: attribute(MOUNT_ATTR_RDONLY), propagation: UInt64(MS_SHARED))
  }

  /// Mounts `source` as `entry`, writable or read-only as its seal allows.
  public func add(_ entry: ShareEntry, _ source: HostSource, writable: Bool) throws {
    let tree = Opened(
      owning: try systemCall("open_tree", subject: source.path) { bh_clone_mounts(source.descriptor, 1) })
    // Whatever a guest gets virtiofsd to do, it is not to run or open anything special that lies there.
    let harmless = attribute(MOUNT_ATTR_NOSUID) | attribute(MOUNT_ATTR_NODEV) | attribute(MOUNT_ATTR_NOEXEC)
    let propagation = entry.key.propagation == .slave ? UInt64(MS_SLAVE) : UInt64(MS_PRIVATE)
    try set(tree, set: harmless, propagation: propagation, recursive: true)
    if !writable || entry.key.seal != .open {
      try set(tree, set: attribute(MOUNT_ATTR_RDONLY), recursive: entry.key.seal == .recursive)
    }
    try remove(entry.name)
    try inWritableCopy { directory in
      if source.isDirectory {
        try systemCall("mkdir", subject: entry.name) { mkdirat(directory, entry.name, 0o700) }
      } else {
        try systemCall("mknod", subject: entry.name) { mknodat(directory, entry.name, S_IFREG | 0o600, 0) }
      }
    }
    let target = try Opened("\(path)/\(entry.name)")
    try systemCall("move_mount", subject: source.path) { bh_attach_mount(tree.number, target.number) }
  }

  /// Makes an entry that was read-only writable, here and for virtiofsd, whose mounts are copies of ours.
  /// Changes the calling thread's mount namespace: see `onNamespaceThread`.
  public func allowWriting(_ name: String, server: Int32?) throws {
    try set(Opened("\(path)/\(name)"), clear: attribute(MOUNT_ATTR_RDONLY))
    guard let server else { return }
    let namespace = "/proc/\(server)/ns/mnt"
    let file = try systemCall("open", subject: namespace) { open(namespace, O_RDONLY | O_CLOEXEC) }
    defer { close(file) }
    try systemCall("unshare") { bh_unshare(bh_CLONE_FS) }
    try systemCall("setns", subject: namespace) { bh_setns(file, bh_CLONE_NEWNS) }
    // The share is that namespace's root.
    try set(Opened("/\(name)"), clear: attribute(MOUNT_ATTR_RDONLY))
  }

  /// Takes an entry away. One that isn't there is no failure.
  public func remove(_ name: String) throws {
    let place = "\(path)/\(name)"
    while bh_detach_mount(place) == 0 {}
    guard errno == EINVAL || errno == ENOENT else { throw SystemError("umount2", errno, subject: place) }
    guard access(place, F_OK) == 0 else { return }
    try inWritableCopy { directory in
      if unlinkat(directory, name, AT_REMOVEDIR) == 0 { return }
      guard errno == ENOTDIR else { throw SystemError("rmdir", errno, subject: place) }
      try systemCall("unlink", subject: place) { unlinkat(directory, name, 0) }
    }
  }

  /// The entries that are there.
  public func names() -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// Takes it away with all entries.
  public func remove() throws {
    while bh_detach_mount(path) == 0 {}
    guard errno == EINVAL || errno == ENOENT else { throw SystemError("umount2", errno, subject: path) }
    guard rmdir(path) == 0 || errno == ENOENT else { throw SystemError("rmdir", errno, subject: path) }
  }

  private func inWritableCopy(_ body: (Int32) throws -> Void) throws {
    let root = try Opened(path)
    let copy = Opened(owning: try systemCall("open_tree", subject: path) { bh_clone_mounts(root.number, 0) })
    try set(copy, clear: attribute(MOUNT_ATTR_RDONLY), propagation: UInt64(MS_PRIVATE))
    try body(copy.number)
  }

  private func set(
    _ mount: borrowing Opened, set: UInt64 = 0, clear: UInt64 = 0, propagation: UInt64 = 0, recursive: Bool = false
  ) throws(SystemError) {
    let number = mount.number
    try systemCall("mount_setattr", subject: path) { bh_set_mount(number, set, clear, propagation, recursive ? 1 : 0) }
  }

  private func attribute(_ value: Int32) -> UInt64 { UInt64(UInt32(bitPattern: value)) }
}

/// A descriptor that is closed with its scope.
private struct Opened: ~Copyable {
  let number: Int32
  init(owning number: Int32) { self.number = number }
  init(_ path: String) throws(SystemError) {
    number = try systemCall("open", subject: path) { bh_open_path(path, 0) }
  }
  deinit { close(number) }
}
