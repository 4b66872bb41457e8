import CRI
import Common
import Pods

/// A container's limits. Throws `invalidArgument`; what only the guest can tell (its processors, its page
/// sizes) is refused by its agent.
func containerResources(_ asked: Runtime_V1_LinuxContainerResources) throws(BulkheadError) -> ContainerResources {
  var resources = ContainerResources()
  resources.cpuShares = try Validation.notNegative(asked.cpuShares, "cpu_shares")
  // -1 is Kubernetes' way to say: no quota.
  resources.cpuQuotaMicroseconds = max(try limit(asked.cpuQuota, "cpu_quota"), 0)
  resources.cpuPeriodMicroseconds = try Validation.notNegative(asked.cpuPeriod, "cpu_period")
  resources.memoryLimitBytes = try memoryLimit(asked.memoryLimitInBytes)
  resources.memorySwapLimitBytes = try limit(asked.memorySwapLimitInBytes, "memory_swap_limit_in_bytes")
  guard (-1000...1000).contains(asked.oomScoreAdj) else {
    throw Validation.invalid("oom_score_adj", "is not between -1000 and 1000: \(asked.oomScoreAdj)")
  }
  resources.oomScoreAdjustment = asked.oomScoreAdj
  resources.cpusetCPUs = asked.cpusetCpus
  resources.cpusetMemories = asked.cpusetMems
  resources.unified = asked.unified
  for limit in asked.hugepageLimits { resources.hugepageLimits[limit.pageSize] = limit.limit }
  return resources
}

/// The same for UpdateContainerResources, where 0 and empty mean: as it was, and -1: no limit.
func resourceChanges(_ asked: Runtime_V1_LinuxContainerResources) throws(BulkheadError) -> ContainerResourceChanges {
  var checked = asked
  checked.memoryLimitInBytes = max(try limit(asked.memoryLimitInBytes, "memory_limit_in_bytes"), 0)
  let resources = try containerResources(checked)
  var changes = ContainerResourceChanges()
  func changed<Value: Equatable>(_ value: Value, unless asked: Value, is unset: Value) -> Value? {
    asked == unset ? nil : value
  }
  changes.cpuShares = changed(resources.cpuShares, unless: asked.cpuShares, is: 0)
  changes.cpuQuotaMicroseconds = changed(resources.cpuQuotaMicroseconds, unless: asked.cpuQuota, is: 0)
  changes.cpuPeriodMicroseconds = changed(resources.cpuPeriodMicroseconds, unless: asked.cpuPeriod, is: 0)
  changes.memoryLimitBytes = changed(resources.memoryLimitBytes, unless: asked.memoryLimitInBytes, is: 0)
  changes.memorySwapLimitBytes = changed(resources.memorySwapLimitBytes, unless: asked.memorySwapLimitInBytes, is: 0)
  changes.cpusetCPUs = changed(resources.cpusetCPUs, unless: asked.cpusetCpus, is: "")
  changes.cpusetMemories = changed(resources.cpusetMemories, unless: asked.cpusetMems, is: "")
  changes.unified = resources.unified
  changes.hugepageLimits = resources.hugepageLimits
  return changes
}

/// A number of at least -1, which stands for no limit.
private func limit(_ value: Int64, _ field: String) throws(BulkheadError) -> Int64 {
  guard value >= -1 else { throw Validation.invalid(field, "is negative: \(value)") }
  return value
}

/// The kernel would take less, and kill the container before its first instruction.
private func memoryLimit(_ value: Int64) throws(BulkheadError) -> Int64 {
  let least: Int64 = 1 << 20
  let value = try Validation.notNegative(value, "memory_limit_in_bytes")
  guard value == 0 || value >= least else {
    throw Validation.invalid("memory_limit_in_bytes", "is \(value): no container can start with less than \(least)")
  }
  return value
}

/// What a pod may use and costs; nil where the kubelet says neither.
func podResources(
  _ limits: Runtime_V1_LinuxContainerResources?, overhead: Runtime_V1_LinuxContainerResources?
) throws(BulkheadError) -> PodResources? {
  guard limits != nil || overhead != nil else { return nil }
  var resources = PodResources()
  if let limits {
    resources.milliCPU = try milliCPU(limits)
    let shares = try Validation.notNegative(limits.cpuShares, "cpu_shares")
    // The kubelet's own conversion, back; its least, 2, says that nothing was requested.
    if shares > 2 { resources.requestedMilliCPU = shares > .max / 1000 ? .max : shares * 1000 / 1024 }
    resources.memoryBytes = try memory(limits)
    var pages: UInt64 = 0
    for limit in limits.hugepageLimits {
      let (sum, overflow) = pages.addingReportingOverflow(limit.limit)
      guard !overflow else { throw Validation.invalid("hugepage_limits", "together are over 2^64 bytes") }
      pages = sum
    }
    if pages > 0 { resources.hugepageBytes = pages }
  }
  if let overhead {
    resources.overheadMilliCPU = try milliCPU(overhead)
    resources.overheadBytes = try memory(overhead)
  }
  return resources
}

private func milliCPU(_ part: Runtime_V1_LinuxContainerResources) throws(BulkheadError) -> Int64? {
  let quota = try limit(part.cpuQuota, "cpu_quota")
  let period = try Validation.notNegative(part.cpuPeriod, "cpu_period")
  guard quota > 0, period > 0 else { return nil }
  let (product, overflow) = part.cpuQuota.multipliedReportingOverflow(by: 1000)
  guard !overflow else { throw Validation.invalid("cpu_quota", "is absurd: \(part.cpuQuota)") }
  return product / part.cpuPeriod
}

private func memory(_ part: Runtime_V1_LinuxContainerResources) throws(BulkheadError) -> UInt64? {
  let bytes = try Validation.notNegative(part.memoryLimitInBytes, "memory_limit_in_bytes")
  return bytes > 0 ? UInt64(bytes) : nil
}

extension Runtime_V1_LinuxContainerResources {
  init(_ resources: ContainerResources) {
    self.init()
    cpuShares = resources.cpuShares
    cpuQuota = resources.cpuQuotaMicroseconds
    cpuPeriod = resources.cpuPeriodMicroseconds
    memoryLimitInBytes = resources.memoryLimitBytes
    memorySwapLimitInBytes = resources.memorySwapLimitBytes
    oomScoreAdj = resources.oomScoreAdjustment
    cpusetCpus = resources.cpusetCPUs
    cpusetMems = resources.cpusetMemories
    unified = resources.unified
    hugepageLimits = resources.hugepageLimits.sorted { $0.key < $1.key }.map { size, bytes in
      .with {
        $0.pageSize = size
        $0.limit = bytes
      }
    }
  }
}
