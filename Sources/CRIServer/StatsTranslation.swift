import CRI
import Pods

extension Runtime_V1_ContainerStats {
  /// Without `usage` it is about a container whose virtual machine has gone: it uses nothing.
  init(_ container: ContainerStatus, _ usage: PodUsage?, scratch: String) {
    self.init()
    attributes.id = container.id.text
    attributes.metadata.name = container.configuration.name
    attributes.metadata.attempt = container.configuration.attempt
    attributes.labels = container.configuration.labels
    attributes.annotations = container.configuration.annotations
    guard let usage, let own = usage.containers[container.id] else { return }
    cpu = .init(own.resources, usage.time)
    memory = .init(own.resources, usage.time)
    swap = .init(own.resources, usage.time)
    io = .init(own.resources, usage.time)
    if let bytes = own.writableBytes {
      writableLayer.timestamp = usage.time
      writableLayer.fsID.mountpoint = scratch
      writableLayer.usedBytes.value = bytes
      if let inodes = own.writableInodes { writableLayer.inodesUsed.value = inodes }
    }
  }
}

extension Runtime_V1_PodSandboxStats {
  init(_ pod: PodStatus, _ usage: PodUsage, _ members: [ContainerStatus], scratch: String) {
    self.init()
    attributes.id = pod.id.text
    attributes.metadata = .init(pod.spec.metadata)
    attributes.labels = pod.spec.labels
    attributes.annotations = pod.spec.annotations
    linux.cpu = .init(usage.total, usage.time)
    linux.memory = .init(usage.total, usage.time)
    linux.io = .init(usage.total, usage.time)
    linux.process.timestamp = usage.time
    linux.process.processCount.value = usage.total.processes
    linux.network.timestamp = usage.time
    let interfaces = usage.interfaces.filter { $0.name != "lo" }.map(Runtime_V1_NetworkInterfaceUsage.init)
    // What a pod has by default is called eth0, as CNI has it.
    if let main = interfaces.first(where: { $0.name == "eth0" }) ?? interfaces.first {
      linux.network.defaultInterface = main
      linux.network.interfaces = interfaces.filter { $0.name != main.name }
    }
    linux.containers = members.filter { usage.containers[$0.id] != nil }.map { .init($0, usage, scratch: scratch) }
  }
}

extension Runtime_V1_CpuUsage {
  init(_ usage: ResourceUsage, _ time: Int64) {
    self.init()
    timestamp = time
    usageCoreNanoSeconds.value = usage.cpuNanoseconds
    if let rate = usage.cpuNanoCores { usageNanoCores.value = rate }
    psi = .init(usage.cpuPressure)
  }
}

extension Runtime_V1_MemoryUsage {
  init(_ usage: ResourceUsage, _ time: Int64) {
    self.init()
    timestamp = time
    workingSetBytes.value = usage.workingSet
    // Only a limit says what is available.
    if let limit = usage.memoryLimit { availableBytes.value = limit > usage.workingSet ? limit - usage.workingSet : 0 }
    usageBytes.value = usage.memory
    rssBytes.value = usage.anonymous
    pageFaults.value = usage.pageFaults
    majorPageFaults.value = usage.majorPageFaults
    psi = .init(usage.memoryPressure)
  }
}

extension Runtime_V1_SwapUsage {
  /// Guests have no swap space, unless a privileged container made some.
  init(_ usage: ResourceUsage, _ time: Int64) {
    self.init()
    timestamp = time
    swapUsageBytes.value = usage.swap
    swapAvailableBytes.value = 0
  }
}

extension Runtime_V1_IoUsage {
  init(_ usage: ResourceUsage, _ time: Int64) {
    self.init()
    timestamp = time
    psi = .init(usage.ioPressure)
  }
}

extension Runtime_V1_PsiStats {
  init(_ pressure: Pressure) {
    self.init()
    some = .init(pressure.some)
    full = .init(pressure.full)
  }
}

extension Runtime_V1_PsiData {
  init(_ line: Pressure.Line) {
    self.init()
    total = line.nanoseconds
    avg10 = line.average10s
    avg60 = line.average60s
    avg300 = line.average300s
  }
}

extension Runtime_V1_NetworkInterfaceUsage {
  init(_ usage: InterfaceUsage) {
    self.init()
    name = usage.name
    rxBytes.value = usage.receivedBytes
    rxErrors.value = usage.receiveErrors
    txBytes.value = usage.sentBytes
    txErrors.value = usage.sendErrors
  }
}
