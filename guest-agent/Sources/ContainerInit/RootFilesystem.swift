import CGuest
import CLinux
import Glibc
import LinuxSystem

/// Mounts the overlay over `plan.mountPoint`, in the caller's mount namespace. Nothing that is mounted from
/// here on reaches another namespace.
func mountRoot(_ plan: RootPlan) throws(StepError) -> RootPath {
  try step("make the container's mounts its own") {
    try systemCall("mount") { Glibc.mount(nil, "/", nil, UInt(MS_REC | MS_SLAVE), nil) }
  }
  return try step("mount the container's root filesystem") {
    var overlay = MountPlan()
    overlay.type = Array("overlay".utf8)
    overlay.data = [
      Array("lowerdir=".utf8) + plan.lower, Array("upperdir=".utf8) + plan.upper, Array("workdir=".utf8) + plan.work,
      // The scratch disk goes with the pod, so nothing in it needs to survive a crash of the guest.
      Array("volatile".utf8),
    ]
    let tree = try newFilesystem(overlay)
    let place = Descriptor(
      owning: try systemCall("open", subject: shown(plan.mountPoint)) {
        withPath(plan.mountPoint) { open($0, GUEST_O_PATH | O_CLOEXEC, 0) }
      })
    try attach(tree, to: place)
    return try RootPath(plan.mountPoint)
  }
}

/// Makes `root` the root of this mount namespace; nothing of the guest's stays reachable.
func enterRoot(_ root: borrowing RootPath, readonly: Bool) throws(StepError) {
  let directory = root.directory.number
  try step("enter the container's root filesystem") {
    if readonly { try setAttributes(of: root.directory, set: UInt64(MOUNT_ATTR_RDONLY)) }
    try systemCall("fchdir") { fchdir(directory) }
    // Old and new root on one directory: the old one ends up on top, and is taken off (pivot_root(2), Notes).
    try systemCall("pivot_root") { guest_pivot_root(".", ".") }
    try systemCall("umount") { umount2(".", Int32(MNT_DETACH)) }
    try systemCall("chdir") { chdir("/") }
  }
}

/// Hides `path`: a directory behind an empty read-only one, a file behind /dev/null. What isn't there needs
/// no hiding.
func maskPath(_ path: [UInt8], in root: borrowing RootPath) throws {
  guard let target = try existing(path, in: root) else { return }
  var plan = MountPlan()
  plan.attributes = UInt64(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
  if try isDirectory(target) {
    plan.type = Array("tmpfs".utf8)
    plan.data = [Array("size=0".utf8), Array("nr_inodes=2".utf8)]
    try attach(newFilesystem(plan), to: target)
  } else {
    let null = try root.open(Array("/dev/null".utf8))
    try attach(copyTree(at: null), to: target)
  }
}

/// Makes `path` and all mounts below it read-only.
func makeReadonly(_ path: [UInt8], in root: borrowing RootPath) throws {
  guard let target = try existing(path, in: root) else { return }
  let tree = try copyTree(at: target)
  try setAttributes(of: tree, set: UInt64(MOUNT_ATTR_RDONLY), recursive: true)
  try attach(tree, to: target)
}

private func existing(_ path: [UInt8], in root: borrowing RootPath) throws -> Descriptor? {
  do {
    return try root.open(path)
  } catch let error as SystemError where error.number == ENOENT || error.number == ENOTDIR {
    return nil
  }
}
