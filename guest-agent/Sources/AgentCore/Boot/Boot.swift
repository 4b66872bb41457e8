import CGuest
import CLinux
import ContainerInit
import Glibc
import LinuxSystem

/// What the first process of the guest does before it can serve; each step best effort, as there is nobody to
/// tell but the console, and a guest without mqueue is better than none.
enum Boot {
  /// The filesystems that serving needs, but for /proc, which is there before main (CGuest, EarlyMount.c). The
  /// kernel has mounted the root, read-only, and perhaps /dev.
  static func mountFilesystems() {
    attempt { try mountFilesystem("sysfs", on: "/sys", flags: MS_NOSUID | MS_NODEV | MS_NOEXEC) }
    if access("/dev/null", F_OK) != 0 || access("/dev/kmsg", F_OK) != 0 {
      attempt { try mountFilesystem("devtmpfs", on: "/dev", flags: MS_NOSUID, data: "mode=0755") }
    }
    attempt { try mountFilesystem("tmpfs", on: "/run", flags: MS_NOSUID | MS_NODEV, data: "mode=0755") }
  }

  /// What containers need, done while the agent serves already.
  static func prepareForContainers() {
    attempt { try mountFilesystem("tmpfs", on: "/tmp", flags: MS_NOSUID | MS_NODEV, data: "mode=1777") }
    attempt {
      try makeDirectories("/dev/pts")
      try mountFilesystem(
        "devpts", on: "/dev/pts", flags: MS_NOSUID | MS_NOEXEC, data: "newinstance,ptmxmode=0666,mode=0620,gid=5")
    }
    attempt {
      try makeDirectories("/dev/mqueue")
      try mountFilesystem("mqueue", on: "/dev/mqueue", flags: MS_NOSUID | MS_NODEV | MS_NOEXEC)
    }
    attempt { try systemCall("bring up lo") { guest_interface_up("lo") } }
    attempt { try makeDirectories(GuestPath.rootMountPoint) }
    attempt { try mountFilesystem("cgroup2", on: "/sys/fs/cgroup", flags: MS_NOSUID | MS_NODEV | MS_NOEXEC) }
    attempt { try preparePodCgroup() }
    // Nothing below this process can be chosen before it when memory runs out.
    attempt { try writeFile("/proc/self/oom_score_adj", Array("-1000".utf8)) }
    attempt { try raiseLimits() }
    attempt { try bufferWrites() }
  }

  /// The cgroup of all containers. What the agent needs to live stays outside: memory, and process numbers
  /// for reaping and for killing.
  static let pod = Cgroup.root.child("pod")
  /// Of the process that holds the pod's PID namespace: a cgroup that divides its limits among children, as
  /// `pod` does, has no processes of its own.
  static let pause = Cgroup.root.child("pause")
  static let reservedMemory: UInt64 = 32 << 20

  private static func preparePodCgroup() throws {
    try Cgroup.root.enableControllers()
    try pause.create()
    try pod.create()
    try pod.enableControllers()
    let controllers = KernelText(try pod.read("cgroup.controllers")).lines.first ?? []
    if controllers.contains(where: { $0.elementsEqual("memory".utf8) }) {
      try pod.write("memory.max", "\(try memoryForContainers())")
    }
    if controllers.contains(where: { $0.elementsEqual("pids".utf8) }) {
      let most = KernelText(try readFile("/proc/sys/kernel/pid_max", limit: 32)).number
      try pod.write("pids.max", "\(most / 10 * 9)")
    }
  }

  /// What the VM has for all containers together.
  static func memoryForContainers() throws -> UInt64 {
    let total = try GuestMemory.read().total
    return total > 4 * reservedMemory ? total - reservedMemory : total / 4 * 3
  }

  /// A hundred containers are a thousand descriptors. And the processes of one user are no concern of the
  /// guest's: containers are bounded by their cgroups.
  private static func raiseLimits() throws {
    try systemCall("setrlimit") { guest_set_limit(UInt32(RLIMIT_NOFILE.rawValue), 1 << 20, 1 << 20) }
    try systemCall("setrlimit") { guest_set_limit(UInt32(__RLIMIT_NPROC.rawValue), .max, .max) }
  }

  /// Twice the kernel's percentages of memory that files may have in it unwritten (its vm.rst). A guest is so small that
  /// one file of some megabytes reaches them, and its writer waits for a disk that, as scratch, outlives nothing. What
  /// is older than 30 seconds is written as ever.
  private static func bufferWrites() throws {
    try writeFile("/proc/sys/vm/dirty_background_ratio", Array("20".utf8))
    try writeFile("/proc/sys/vm/dirty_ratio", Array("40".utf8))
  }

  static func attempt(_ body: () throws -> Void) {
    do {
      try body()
    } catch {
      log("\(error)")
    }
  }
}

/// Writes a line to the console, where the daemon keeps it for whoever asks why a VM misbehaves.
func log(_ text: String) {
  let line = Array("bulkhead-agent: \(text)\n".utf8)
  write(2, line, line.count)
}

/// From /proc/meminfo, in bytes.
struct GuestMemory {
  var total: UInt64 = 0
  var available: UInt64 = 0

  static func read() throws -> GuestMemory {
    let keys = ["MemTotal:", "MemAvailable:"].map { Array($0.utf8) }
    let kilobytes = KernelText(try readFile("/proc/meminfo", limit: 512)).values(keys)
    return GuestMemory(total: kilobytes[0] << 10, available: kilobytes[1] << 10)
  }
}
