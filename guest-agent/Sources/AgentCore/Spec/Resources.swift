import AgentProtocol
import GRPCCore

/// A value for a file of a container's cgroup.
struct CgroupSetting: Equatable, Sendable {
  var file: String
  var value: String

  var isOfCPUTime: Bool { file.hasPrefix("cpu.") }
}

/// The limits as cgroup v2 files, in the order in which they are to be written. Throws INVALID_ARGUMENT.
/// `guest` is what cpuset_cpus and cpuset_mems can name.
func cgroupSettings(
  _ resources: Bulkhead_Agent_V1_Resources, guest: @autoclosure () -> GuestTopology
) throws -> [CgroupSetting] {
  if !resources.cpusetCpus.isEmpty || !resources.cpusetMems.isEmpty { try guest().check(resources) }
  var settings: [CgroupSetting] = []
  func set(_ file: String, _ value: String) { settings.append(CgroupSetting(file: file, value: value)) }

  if resources.cpuShares > 0 { set("cpu.weight", "\(cpuWeight(shares: resources.cpuShares))") }
  if resources.cpuQuotaMicroseconds != 0 || resources.cpuPeriodMicroseconds != 0 {
    let quota = resources.cpuQuotaMicroseconds > 0 ? "\(resources.cpuQuotaMicroseconds)" : "max"
    let period = resources.cpuPeriodMicroseconds > 0 ? resources.cpuPeriodMicroseconds : 100_000
    set("cpu.max", "\(quota) \(period)")
  }
  if !resources.cpusetCpus.isEmpty { set("cpuset.cpus", resources.cpusetCpus) }
  if !resources.cpusetMems.isEmpty { set("cpuset.mems", resources.cpusetMems) }
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

/// The same for a cgroup that has limits already: what `resources` doesn't limit loses its limit.
func completeCgroupSettings(
  _ resources: Bulkhead_Agent_V1_Resources, guest: @autoclosure () -> GuestTopology
) throws -> [CgroupSetting] {
  let settings = try cgroupSettings(resources, guest: guest())
  let unlimited = [
    CgroupSetting(file: "cpu.weight", value: "100"), CgroupSetting(file: "cpu.max", value: "max 100000"),
    CgroupSetting(file: "cpuset.cpus", value: "\n"), CgroupSetting(file: "cpuset.mems", value: "\n"),
    CgroupSetting(file: "memory.max", value: "max"), CgroupSetting(file: "memory.swap.max", value: "max"),
    CgroupSetting(file: "pids.max", value: "max"),
  ]
  return unlimited.filter { other in !settings.contains { $0.file == other.file } } + settings
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
  if file == "memory.max", let bytes = memoryBytes(value), bytes < leastMemory {
    throw invalid("unified: memory.max is \(bytes): no container can live with less than \(leastMemory)")
  }
}

private let leastMemory: UInt64 = 1 << 20

/// What the kernel reads in a limit's file: a number, of bytes or with a suffix. Nil for "max" and what is none.
func memoryBytes(_ text: String) -> UInt64? {
  let text = text.filter { !$0.isWhitespace }
  let units: [(suffix: String, shift: UInt64)] = [("k", 10), ("m", 20), ("g", 30), ("t", 40)]
  let unit = units.first { text.lowercased().hasSuffix($0.suffix) }
  guard let number = UInt64(unit == nil ? text[...] : text.dropLast()) else { return nil }
  let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (unit?.shift ?? 0))
  return overflow ? .max : bytes
}
