import Common

/// How big a pod's virtual machine is: from the resources and overhead that RunPodSandbox names where
/// it names any, else the node's default; never over the node's maximum.
struct MachineSize: Equatable {
  var vcpus: Int
  var memory: ByteCount

  /// What the guest's kernel and agent need besides the containers' limit.
  private static let guestReserve = ByteCount.mebibytes(128)
  /// What QEMU and bulkhead-vsock take of the overhead: with the machine's memory they must fit into the pod's
  /// cgroup. Measured under TCG (94 MiB, `make bench`), which keeps its translations there; KVM takes less.
  private static let hostShare = ByteCount.mebibytes(96)

  init(_ resources: PodResources?, _ configuration: PodsConfiguration) {
    vcpus = configuration.defaultVCPUs
    memory = configuration.defaultMemory
    if let resources {
      if let whole = Self.cores(resources, atLeast: vcpus) { vcpus = min(whole, configuration.maximumVCPUs) }
      if let bytes = Self.bytes(resources) { memory = bytes }
    }
    memory = min(memory, configuration.maximumMemory)
  }

  /// A limit decides; without one, containers may use all of the machine, which must not be less than they
  /// asked for.
  private static func cores(_ resources: PodResources, atLeast least: Int) -> Int? {
    if let limit = resources.milliCPU, limit > 0 {
      return whole(limit, plus: resources.overheadMilliCPU)
    }
    guard let requested = resources.requestedMilliCPU, requested > 0 else { return nil }
    return max(least, whole(requested, plus: resources.overheadMilliCPU))
  }

  private static func whole(_ milliCPU: Int64, plus overhead: Int64?) -> Int {
    let (sum, overflow) = milliCPU.addingReportingOverflow(max(overhead ?? 0, 0))
    if overflow { return .max }
    return Int(sum / 1000 + (sum % 1000 == 0 ? 0 : 1))
  }

  private static func bytes(_ resources: PodResources) -> ByteCount? {
    guard let limit = resources.memoryBytes, limit > 0 else { return nil }
    let overhead = resources.overheadBytes ?? 0
    let reserve = max(guestReserve.bytes, overhead > hostShare.bytes ? overhead - hostShare.bytes : 0)
    var sum = limit
    for part in [resources.hugepageBytes ?? 0, reserve] {
      let (total, overflow) = sum.addingReportingOverflow(part)
      sum = overflow ? .max >> 1 : min(total, .max >> 1)
    }
    return .mebibytes(ByteCount(bytes: sum).mebibytes)
  }
}
