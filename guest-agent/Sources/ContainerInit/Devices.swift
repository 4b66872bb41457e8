import CGuest
import CLinux
import Glibc
import LinuxSystem

/// Makes the device node, unless something of that name is there.
func makeDevice(_ plan: DevicePlan, in root: borrowing RootPath) throws {
  let type = plan.isBlock ? S_IFBLK : S_IFCHR
  try root.withParent(of: plan.path) { directory, name in
    let made = try absent("mknod") {
      withPath(name) {
        mknodat(directory, $0, type | (plan.mode & 0o7777), guest_device_number(plan.major, plan.minor))
      }
    }
    guard made else { return }
    if plan.uid != 0 || plan.gid != 0 {
      try systemCall("chown") { withPath(name) { fchownat(directory, $0, plan.uid, plan.gid, AT_SYMLINK_NOFOLLOW) } }
    }
  }
}

/// The links in /dev that the OCI runtime specification requires.
func makeDeviceLinks(in root: borrowing RootPath) throws {
  let directory = try root.open(Array("/dev".utf8), missing: .makeDirectory)
  let number = directory.number
  let links: [(StaticString, StaticString)] = [
    ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
  ]
  for (name, target) in links {
    try absent("symlink") { symlinkat("\(target)", number, "\(name)") }
  }
}

/// Runs a call that makes something. False if something of that name was there already.
@discardableResult
private func absent(_ name: StaticString, _ body: () -> Int32) throws -> Bool {
  do {
    try systemCall(name, body)
    return true
  } catch {
    if error.number == EEXIST { return false }
    throw error
  }
}

/// Every device node of the guest's /dev, but for what is mounted below it.
func guestDevices() throws -> [DevicePlan] {
  var found: [DevicePlan] = []
  try collectDevices(in: Array("/dev".utf8), depth: 0, into: &found)
  return found
}

private func collectDevices(in directory: [UInt8], depth: Int, into found: inout [DevicePlan]) throws {
  let isMount: Set<[UInt8]> = Set(["pts", "shm", "mqueue", "console", "tty"].map { Array("/dev/\($0)".utf8) })
  guard depth < 4, let stream = withPath(directory, { opendir($0) }) else { return }
  defer { closedir(stream) }
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
    let path = directory + [slash] + name
    if name.first == UInt8(ascii: ".") || isMount.contains(path) { continue }
    var status = stat()
    guard withPath(path, { lstat($0, &status) }) == 0 else { continue }
    switch status.st_mode & S_IFMT {
    case S_IFDIR: try collectDevices(in: path, depth: depth + 1, into: &found)
    case S_IFCHR, S_IFBLK:
      var device = DevicePlan()
      device.path = path
      device.isBlock = status.st_mode & S_IFMT == S_IFBLK
      device.major = guest_device_major(status.st_rdev)
      device.minor = guest_device_minor(status.st_rdev)
      device.mode = status.st_mode & 0o7777
      device.uid = status.st_uid
      device.gid = status.st_gid
      found.append(device)
    default: continue
    }
  }
}
