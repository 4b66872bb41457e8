import CLinux
import ContainerInit
import Glibc

/// What every container has, whether its specification says so or not (OCI runtime specification,
/// config-linux.md, Default Filesystems and Default Devices; the pod's files as Kubernetes expects them).
enum Defaults {
  /// `specified` with the defaults before it. A specified mount at a default's place takes that place, so that
  /// defaults below it (/dev/pts below /dev) still lie on top.
  static func mounts(
    _ specified: [MountPlan], privileged: Bool, readonlyRoot: Bool, podFiles: [String]
  ) -> [MountPlan] {
    var rest = specified
    var mounts: [MountPlan] = []
    for plan in filesystems(privileged: privileged) + files(podFiles, readonly: readonlyRoot) {
      if let index = rest.firstIndex(where: { normalized($0.destination) == plan.destination }) {
        mounts.append(rest.remove(at: index))
      } else {
        mounts.append(plan)
      }
    }
    return mounts + rest
  }

  private static func filesystems(privileged: Bool) -> [MountPlan] {
    let safe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    let system = privileged ? safe : safe | MOUNT_ATTR_RDONLY
    return [
      MountPlan("proc", on: "/proc", attributes: safe),
      MountPlan(
        "tmpfs", on: "/dev", attributes: MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME, data: ["mode=755", "size=65536k"]),
      MountPlan(
        "devpts", on: "/dev/pts", attributes: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        data: ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      bind(GuestPath.sharedMemory, on: "/dev/shm"),
      MountPlan("mqueue", on: "/dev/mqueue", attributes: safe),
      MountPlan("sysfs", on: "/sys", attributes: system),
      MountPlan("cgroup2", on: "/sys/fs/cgroup", attributes: system),
    ]
  }

  private static func files(_ names: [String], readonly: Bool) -> [MountPlan] {
    names.map { name in
      var plan = bind("\(GuestPath.files)/\(name)", on: "/etc/\(name)")
      if readonly { plan.attributes = UInt64(UInt32(bitPattern: MOUNT_ATTR_RDONLY)) }
      return plan
    }
  }

  private static func bind(_ source: String, on destination: String) -> MountPlan {
    var plan = MountPlan()
    plan.kind = .bind
    plan.source = Array(source.utf8)
    plan.destination = Array(destination.utf8)
    return plan
  }

  /// Without doubled or trailing slashes.
  private static func normalized(_ path: [UInt8]) -> [UInt8] {
    path.split(separator: UInt8(ascii: "/")).reduce(into: []) { $0 += [UInt8(ascii: "/")] + $1 }
  }

  /// Character devices, readable and writable by all.
  static let devices: [DevicePlan] = [
    ("/dev/null", 3), ("/dev/zero", 5), ("/dev/full", 7), ("/dev/random", 8), ("/dev/urandom", 9), ("/dev/tty", 0),
  ].map { path, minor in
    var plan = DevicePlan()
    plan.path = Array(path.utf8)
    plan.major = path == "/dev/tty" ? 5 : 1
    plan.minor = UInt32(minor)
    return plan
  }

  /// Holds the VM's secret: no container, of whatever specification, reads it.
  static let maskedPaths = [Array("/sys/firmware".utf8)]
}
