import AgentProtocol
import Common

/// New limits for what runs. A machine keeps the size that it was started with.
extension Pod {
  func updateContainer(_ id: ContainerID, _ changes: ContainerResourceChanges) async throws {
    let agent = try running().agent
    try await container(id).update(changes, vcpus: record.vcpus, agent: agent)
  }

  /// Applies them in the guest, to all containers together. The kubelet has done so on the host.
  func update(_ resources: PodResources) async throws {
    try await operations.run { try await updateSerially(resources) }
  }

  private func updateSerially(_ resources: PodResources) async throws {
    let agent = try running().agent
    try refuseTooMuch(resources)
    let request = Bulkhead_Agent_V1_UpdateSandboxRequest.with {
      if let milliCPU = resources.milliCPU {
        $0.resources.cpuPeriodMicroseconds = 100_000
        $0.resources.cpuQuotaMicroseconds = max(milliCPU &* 100, 1000)
      }
      $0.resources.memoryLimitBytes = resources.memoryBytes ?? 0
    }
    _ = try await agent.call("set the pod's limits", request) { try await $0.updateSandbox(request: $1, options: $2) }
    record.spec.resources = resources
    publish(record)
    try await uncancelled { [self] in try await services.journal.update(id, await record) }
  }

  private func refuseTooMuch(_ resources: PodResources) throws(BulkheadError) {
    let name = record.spec.metadata.displayName
    let size = MachineSize(resources, services.configuration.unbounded)
    guard resources.milliCPU == nil || size.vcpus <= record.vcpus else {
      throw BulkheadError(
        .invalidArgument,
        "pod \(name) can't get \(size.vcpus) CPUs: its virtual machine was started with \(record.vcpus); make the pod anew"
      )
    }
    guard resources.memoryBytes == nil || size.memory.bytes <= record.memoryBytes else {
      throw BulkheadError(
        .invalidArgument,
        "pod \(name) can't get that much memory: with what the guest needs that is \(size.memory), and its virtual machine was started with \(ByteCount(bytes: record.memoryBytes)); make the pod anew"
      )
    }
  }
}

extension PodsConfiguration {
  /// For a comparison with what is wanted: bounds would hide that it is too much.
  fileprivate var unbounded: PodsConfiguration {
    var configuration = self
    configuration.maximumVCPUs = .max
    configuration.maximumMemory = ByteCount(bytes: .max)
    return configuration
  }
}

extension Container {
  /// All of the changes are made, or on error none.
  func update(_ changes: ContainerResourceChanges, vcpus: Int, agent: AgentConnection) async throws {
    try await operations.run {
      let resources = configuration.resources.applying(changes)
      guard !state.isExited else {
        throw BulkheadError(
          .failedPrecondition, "container \(configuration.name) has exited: it has no limits to change")
      }
      if changes.cpuQuotaMicroseconds != nil, let milliCPU = resources.milliCPU, milliCPU > Int64(vcpus) &* 1000 {
        throw BulkheadError(
          .invalidArgument,
          "container \(configuration.name) can't get \(milliCPU)m of CPU: its pod's virtual machine was started with \(vcpus) CPUs; make the pod anew"
        )
      }
      let request = Bulkhead_Agent_V1_UpdateContainerRequest.with {
        $0.containerID = id.text
        $0.resources = resources.message(pidsLimit: services.configuration.pidsLimit)
      }
      _ = try await agent.call("update container \(configuration.name)", request) {
        try await $0.updateContainer(request: $1, options: $2)
      }
      try await uncancelled { [self] in try await keep(resources) }
    }
  }
}
