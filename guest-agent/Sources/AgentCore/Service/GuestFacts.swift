import AgentProtocol
import Glibc
import LinuxSystem

/// The kernel's release as uname(2) has it.
func kernelRelease() -> String {
  var name = utsname()
  uname(&name)
  return withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

/// Microseconds since the kernel started.
func bootMicroseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_BOOTTIME, &time)
  return UInt64(max(time.tv_sec, 0)) * 1_000_000 + UInt64(max(time.tv_nsec, 0)) / 1000
}

/// Blocks.
func guestInfoNow() throws -> Bulkhead_Agent_V1_GuestInfoResponse {
  let memory = try GuestMemory.read()
  let pages = String(decoding: try readFile("/proc/self/statm", limit: 256), as: UTF8.self)
    .split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
  var info = Bulkhead_Agent_V1_GuestInfoResponse()
  info.memoryTotalBytes = memory.total
  info.memoryAvailableBytes = memory.available
  info.cpus = UInt32(clamping: sysconf(Int32(_SC_NPROCESSORS_ONLN)))
  info.kernelRelease = kernelRelease()
  info.agentResidentBytes = (pages ?? 0) * UInt64(clamping: sysconf(Int32(_SC_PAGESIZE)))
  info.uptimeMilliseconds = bootMicroseconds() / 1000
  return info
}
