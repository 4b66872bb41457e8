import AgentProtocol
import GRPCCore

/// A value for a file of a container's cgroup.
struct CgroupSetting: Equatable, Sendable {
  var file: String
  var value: String
}

/// The limits as cgroup v2 files, in the order in which they are to be written. Throws INVALID_ARGUMENT.
func cgroupSettings(_ resources: Bulkhead_Agent_V1_Resources) throws -> [CgroupSetting] {
  var settings: [CgroupSetting] = []
  func set(_ file: String, _ value: String) { settings.append(CgroupSetting(file: file, value: value)) }

  if resources.cpuShares > 0 { set("cpu.weight", "\(cpuWeight(shares: resources.cpuShares))") }
  if resources.cpuQuotaMicroseconds != 0 || resources.cpuPeriodMicroseconds != 0 {
    let quota = resources.cpuQuotaMicroseconds > 0 ? "\(resources.cpuQuotaMicroseconds)" : "max"
    let period = resources.cpuPeriodMicroseconds > 0 ? resources.cpuPeriodMicroseconds : 100_000
    set("cpu.max", "\(quota) \(period)")
  }
  if !resources.cpusetCpus.isEmpty { set("cpuset.cpus", try cpuList(resources.cpusetCpus, "cpuset_cpus")) }
  if !resources.cpusetMems.isEmpty { set("cpuset.mems", try cpuList(resources.cpusetMems, "cpuset_mems")) }
  if resources.memoryLimitBytes > 0 { set("memory.max", "\(resources.memoryLimitBytes)") }
  if let swap = try swapLimit(resources) { set("memory.swap.max", swap) }
  if resources.pidsLimit != 0 { set("pids.max", resources.pidsLimit > 0 ? "\(resources.pidsLimit)" : "max") }
  for (size, limit) in resources.hugepageLimits.sorted(by: { $0.key < $1.key }) {
    guard !size.isEmpty, size.utf8.count < 16, size.utf8.allSatisfy(isAlphanumeric) else {
      throw invalid("hugepage_limits: \"\(size.prefix(32))\" is not a page size")
    }
    set("hugetlb.\(size).max", "\(limit)")
  }
  for (file, value) in resources.unified.sorted(by: { $0.key < $1.key }) {
    try checkUnified(file, value)
    set(file, value)
  }
  return settings
}

/// The kernel's own scale from cgroup v1 shares (2 to 262144) to v2 weights (1 to 10000), as the OCI runtimes
/// convert it.
func cpuWeight(shares: UInt64) -> UInt64 {
  1 + (min(max(shares, 2), 262_144) - 2) * 9999 / 262_142
}

/// cgroup v2 counts swap alone, the specification memory and swap together.
private func swapLimit(_ resources: Bulkhead_Agent_V1_Resources) throws -> String? {
  let together = resources.memorySwapLimitBytes
  if together == 0 { return nil }
  if together < 0 { return "max" }
  guard resources.memoryLimitBytes > 0, UInt64(together) >= resources.memoryLimitBytes else {
    throw invalid("memory_swap_limit_bytes counts memory too, so it can't be below memory_limit_bytes")
  }
  return "\(UInt64(together) - resources.memoryLimitBytes)"
}

private func cpuList(_ text: String, _ field: String) throws -> String {
  guard text.utf8.count < 4096, text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2c || $0 == 0x2d }) else {
    throw invalid("\(field): \"\(text.prefix(64))\" is not a list like 0-3,6")
  }
  return text
}

/// Only a controller's file: cgroup.procs and its like would move processes.
private func checkUnified(_ file: String, _ value: String) throws {
  let parts = file.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
  let known = parts.count >= 2 && parts.allSatisfy { !$0.isEmpty && $0.allSatisfy { isAlphanumeric($0) || $0 == 0x5f } }
  guard known, !file.hasPrefix("cgroup."), file.utf8.count < 64 else {
    throw invalid("unified: \"\(file.prefix(64))\" is not a controller's file")
  }
  guard value.utf8.count < 4096, !value.utf8.contains(0) else {
    throw invalid("unified: the value of \(file) is not text")
  }
}
