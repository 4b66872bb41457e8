import CGuest
import CLinux
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem

/// Where the agent keeps things in the guest.
enum GuestPath {
  static let images = "/run/bulkhead/images"
  static let scratch = "/run/bulkhead/scratch"
  static let files = "/run/bulkhead/etc"
  /// Containers' roots are mounted over it, each in a mount namespace of its own.
  static let rootMountPoint = "/run/bulkhead/root"
  static let sharedMemory = "/dev/shm"
  static let share = "/run/bulkhead/share"
  static let followed = "/run/bulkhead/followed"
  static let memory = "/run/bulkhead/memory"
}

/// What CreateSandbox is about, validated.
struct SandboxPlan: Sendable {
  var hostname: String
  var resolvConf: [UInt8]
  /// Nanoseconds since 1970; 0: leave the clock.
  var realtime: Int64
  /// Paths below /proc/sys, and values.
  var sysctls: [(path: String, value: String)]
  var scratchSerial: String
  /// The pod's main one first.
  var interfaces: [InterfacePlan]
  var sharedMemoryBytes: UInt64
}

/// Makes the guest the pod's: clock, name, network, kernel settings, shared memory, and the files that every container
/// sees. Blocks.
func applySandbox(_ plan: SandboxPlan) throws {
  if plan.realtime > 0 {
    var time = timespec(tv_sec: Int(plan.realtime / 1_000_000_000), tv_nsec: Int(plan.realtime % 1_000_000_000))
    try systemCall("clock_settime") { clock_settime(CLOCK_REALTIME, &time) }
  }
  if !plan.hostname.isEmpty {
    try systemCall("sethostname") { sethostname(plan.hostname, plan.hostname.utf8.count) }
  }
  // Before the settings, some of which are an interface's.
  try GuestNetwork.configure(plan.interfaces)
  for (path, value) in plan.sysctls {
    do {
      try writeFile("/proc/sys/\(path)", Array(value.utf8))
    } catch {
      throw RPCError(code: .invalidArgument, message: "sysctl \(path) can't be set to \"\(value)\": \(error)")
    }
  }
  try makeDirectories(GuestPath.sharedMemory)
  try mountFilesystem(
    "tmpfs", on: GuestPath.sharedMemory, flags: MS_NOSUID | MS_NODEV | MS_NOEXEC,
    data: "mode=1777,size=\(plan.sharedMemoryBytes)")
  try makeDirectories(GuestPath.files)
  try writeFile("\(GuestPath.files)/hostname", Array("\(plan.hostname)\n".utf8), create: true)
  try writeFile("\(GuestPath.files)/hosts", Array(hosts(plan).utf8), create: true)
  if !plan.resolvConf.isEmpty { try writeFile("\(GuestPath.files)/resolv.conf", plan.resolvConf, create: true) }
}

/// For containers whose kubelet mounts no /etc/hosts, with what the kubelet would write.
private func hosts(_ plan: SandboxPlan) -> String {
  let common = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
  if plan.hostname.isEmpty { return common }
  let own = plan.interfaces.first?.addresses.map(\.prefix.address.description) ?? []
  return common + (own.isEmpty ? ["127.0.0.1"] : own).map { "\($0)\t\(plan.hostname)\n" }.joined()
}

func mountFilesystem(_ type: String, on path: String, source: String? = nil, flags: Int, data: String? = nil) throws {
  try systemCall("mount", subject: "\(type) on \(path)") { mount(source ?? type, path, type, UInt(flags), data) }
}
