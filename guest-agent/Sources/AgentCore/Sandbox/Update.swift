import AgentProtocol
import GRPCCore
import LinuxSystem

/// New limits for what runs. All calls block.
extension Pod {
  /// Throws FAILED_PRECONDITION for a container that has ended, and for one that could not live on.
  func updateContainer(_ request: Bulkhead_Agent_V1_UpdateContainerRequest) throws {
    let container = try container(request.containerID)
    if case .exited = container.state {
      throw RPCError(code: .failedPrecondition, message: "container \(container.id) has ended")
    }
    let settings = try completeCgroupSettings(request.resources, guest: GuestTopology.read())
    // The last one is what is in force: `unified` comes after the limit.
    let limit = settings.last { $0.file == "memory.max" }.flatMap { memoryBytes($0.value) }
    try checkMemory(limit ?? 0, of: container.cgroup)
    defer { usage.withLock { $0.forget() } }
    try apply(settings, to: container.cgroup)
    try allowHugePages(settings)
  }

  /// CPU quota and memory of all containers together; the rest of `resources` has no meaning for a VM.
  func updateSandbox(_ request: Bulkhead_Agent_V1_UpdateSandboxRequest) throws {
    var resources = Bulkhead_Agent_V1_Resources()
    resources.cpuQuotaMicroseconds = request.resources.cpuQuotaMicroseconds
    resources.cpuPeriodMicroseconds = request.resources.cpuPeriodMicroseconds
    resources.memoryLimitBytes = request.resources.memoryLimitBytes
    try checkMemory(resources.memoryLimitBytes, of: Boot.pod)
    if resources.memoryLimitBytes == 0 { resources.memoryLimitBytes = try Boot.memoryForContainers() }
    let files = ["cpu.max", "memory.max"]
    let settings = try completeCgroupSettings(resources, guest: GuestTopology.read()).filter { files.contains($0.file) }
    defer { usage.withLock { $0.forget() } }
    try apply(settings, to: Boot.pod)
  }

  /// A limit must fit into the VM, and leave what the processes have now: the kernel would kill them, which
  /// nobody means who lowers a limit. Caches don't count, as the kernel can drop them.
  private func checkMemory(_ limit: UInt64, of cgroup: Cgroup) throws {
    guard limit > 0 else { return }
    let most = try Boot.memoryForContainers()
    guard limit <= most else {
      throw invalid("a memory limit of \(limit) bytes is more than the pod's VM has for containers: \(most) bytes")
    }
    let now = Self.unreclaimable(cgroup)
    guard now <= limit else {
      throw invalid("a memory limit of \(limit) bytes is less than what is in use: \(now) bytes")
    }
  }

  /// Memory that the kernel could not take back without killing.
  private static func unreclaimable(_ cgroup: Cgroup) -> UInt64 {
    guard let current = (try? cgroup.read("memory.current")).map({ KernelText($0).number }) else { return 0 }
    let keys = ["inactive_file", "active_file", "slab_reclaimable"].map { Array($0.utf8) }
    let caches = (try? cgroup.read("memory.stat")).map { KernelText($0).values(keys) } ?? []
    return caches.reduce(current) { $0 > $1 ? $0 - $1 : 0 }
  }
}
