import CGuest
import CLinux
import Glibc
import LinuxSystem

/// Mounts one plan inside `root`. Works on descriptors throughout (the mount API of Linux 5.2), so that
/// nothing the image contains is looked up by path a second time.
func mount(_ plan: MountPlan, in root: borrowing RootPath) throws {
  let tree = try plan.kind == .filesystem ? newFilesystem(plan) : bindTree(plan)
  let target = try root.open(plan.destination, missing: isDirectory(tree) ? .makeDirectory : .makeFile)
  // Whatever symbolic link of the image led there: what it says of the processes in it must be true.
  guard try !isInProc(target) else { throw StepError("it is in /proc, where nothing can be mounted") }
  try attach(tree, to: target)
  if plan.propagation != 0 {
    try setAttributes(of: tree, propagation: plan.propagation, recursive: plan.recursivePropagation)
  }
}

/// A new mount of the filesystem `plan.type`, attached nowhere yet.
func newFilesystem(_ plan: MountPlan) throws -> Descriptor {
  let context = Descriptor(
    owning: try systemCall("fsopen", subject: shown(plan.type)) {
      withPath(plan.type) { fsopen($0, UInt32(FSOPEN_CLOEXEC)) }
    })
  let source = plan.source.isEmpty ? plan.type : plan.source
  try configure(context, key: Array("source".utf8), value: source)
  for option in plan.data {
    let parts = option.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
    try configure(context, key: Array(parts[0]), value: parts.count == 2 ? Array(parts[1]) : nil)
  }
  let number = context.number
  try systemCall("fsconfig", subject: shown(plan.type)) {
    fsconfig(number, UInt32(FSCONFIG_CMD_CREATE.rawValue), nil, nil, 0)
  }
  return Descriptor(
    owning: try systemCall("fsmount", subject: shown(plan.type)) {
      fsmount(number, UInt32(FSMOUNT_CLOEXEC), UInt32(truncatingIfNeeded: plan.attributes))
    })
}

private func configure(_ context: borrowing Descriptor, key: [UInt8], value: [UInt8]?) throws(SystemError) {
  let number = context.number
  try systemCall("fsconfig", subject: shown(key)) {
    withPath(key) { key in
      guard let value else { return fsconfig(number, UInt32(FSCONFIG_SET_FLAG.rawValue), key, nil, 0) }
      return withPath(value) { fsconfig(number, UInt32(FSCONFIG_SET_STRING.rawValue), key, $0, 0) }
    }
  }
}

/// A copy of the mount at the guest's path `plan.source`, attached nowhere yet.
private func bindTree(_ plan: MountPlan) throws -> Descriptor {
  let tree = try sourceTree(plan)
  if plan.attributes != 0 || plan.clearedAttributes != 0 {
    try setAttributes(of: tree, set: plan.attributes, clear: plan.clearedAttributes)
  }
  if plan.recursiveAttributes != 0 { try setAttributes(of: tree, set: plan.recursiveAttributes, recursive: true) }
  return tree
}

private func sourceTree(_ plan: MountPlan) throws -> Descriptor {
  let flags = cloneTree | (plan.kind == .recursiveBind ? UInt32(GUEST_AT_RECURSIVE) : 0)
  if plan.subPath.isEmpty {
    return Descriptor(
      owning: try systemCall("open_tree", subject: shown(plan.source)) {
        withPath(plan.source) { open_tree(AT_FDCWD, $0, flags) }
      })
  }
  let place = try RootPath(plan.source).open(plan.subPath)
  let number = place.number
  return Descriptor(
    owning: try systemCall("open_tree", subject: shown(plan.subPath)) {
      open_tree(number, "", flags | UInt32(GUEST_AT_EMPTY_PATH))
    })
}

/// A copy of what lies at `place`, with all that is mounted below it.
func copyTree(at place: borrowing Descriptor) throws(SystemError) -> Descriptor {
  let number = place.number
  return Descriptor(
    owning: try systemCall("open_tree") {
      open_tree(number, "", cloneTree | UInt32(GUEST_AT_RECURSIVE | GUEST_AT_EMPTY_PATH))
    })
}

func attach(_ tree: borrowing Descriptor, to target: borrowing Descriptor) throws(SystemError) {
  let from = tree.number
  let to = target.number
  try systemCall("move_mount") {
    move_mount(from, "", to, "", UInt32(MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
  }
}

func setAttributes(
  of tree: borrowing Descriptor, set: UInt64 = 0, clear: UInt64 = 0, propagation: UInt64 = 0, recursive: Bool = false
) throws(SystemError) {
  let number = tree.number
  // The kernel wants the whole access time field cleared before another is set.
  let accessTime = UInt64(MOUNT_ATTR__ATIME)
  let cleared = (set | clear) & accessTime != 0 ? clear | accessTime : clear
  var attributes = mount_attr(attr_set: set, attr_clr: cleared, propagation: propagation, userns_fd: 0)
  try systemCall("mount_setattr") {
    mount_setattr(
      number, "", UInt32(GUEST_AT_EMPTY_PATH | (recursive ? GUEST_AT_RECURSIVE : 0)), &attributes,
      MemoryLayout<mount_attr>.size)
  }
}

func isDirectory(_ file: borrowing Descriptor) throws(SystemError) -> Bool {
  try fileStatus(file).st_mode & S_IFMT == S_IFDIR
}

private func isInProc(_ file: borrowing Descriptor) throws(SystemError) -> Bool {
  let number = file.number
  // PROC_SUPER_MAGIC of statfs(2).
  return try systemCall("fstatfs") { guest_filesystem_type(number) } == 0x9fa0
}

func fileStatus(_ file: borrowing Descriptor) throws(SystemError) -> stat {
  let number = file.number
  var status = stat()
  try systemCall("fstat") { fstat(number, &status) }
  return status
}

private let cloneTree = UInt32(OPEN_TREE_CLONE) | UInt32(bitPattern: O_CLOEXEC)
