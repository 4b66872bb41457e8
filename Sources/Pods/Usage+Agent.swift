import AgentProtocol
import Common

/// An agent's answer, bounded: a guest can send any numbers and any names.
extension PodUsage {
  /// What is said of containers that are not among `known` is dropped.
  init(_ response: Bulkhead_Agent_V1_StatsResponse, pod: PodID, time: Int64, known: Set<ContainerID>) {
    podID = pod
    self.time = time
    total = ResourceUsage(response.pod)
    containers = [:]
    for container in response.containers {
      guard let id = ContainerID(container.containerID), known.contains(id) else { continue }
      containers[id] = ContainerUsage(
        resources: ResourceUsage(container.usage),
        writableBytes: container.hasWritableBytes ? container.writableBytes : nil,
        writableInodes: container.hasWritableInodes ? container.writableInodes : nil,
        processes: container.hasProcessDetails ? ProcessDetails(container.processDetails) : nil)
    }
    interfaces = response.interfaces.prefix(InterfaceUsage.most).map(InterfaceUsage.init)
    scratch = FilesystemSize(
      size: response.scratch.sizeBytes, available: response.scratch.availableBytes, inodes: response.scratch.inodes,
      freeInodes: response.scratch.freeInodes)
  }
}

extension ResourceUsage {
  init(_ stats: Bulkhead_Agent_V1_CgroupStats) {
    self.init(
      cpuNanoseconds: nanoseconds(stats.cpuMicroseconds), cpuUserNanoseconds: nanoseconds(stats.cpuUserMicroseconds),
      cpuSystemNanoseconds: nanoseconds(stats.cpuSystemMicroseconds), cpuPeriods: stats.cpuPeriods,
      cpuThrottledPeriods: stats.cpuThrottledPeriods,
      cpuThrottledNanoseconds: nanoseconds(stats.cpuThrottledMicroseconds), cpuNanoCores: nil,
      memory: stats.memoryBytes, memoryPeak: stats.memoryPeakBytes, memoryLimit: limit(stats.memoryLimitBytes),
      anonymous: stats.memoryAnonymousBytes, file: stats.memoryFileBytes,
      inactiveFile: stats.memoryInactiveFileBytes, activeFile: stats.memoryActiveFileBytes,
      mappedFile: stats.memoryMappedFileBytes, kernelMemory: stats.memoryKernelBytes, pageFaults: stats.pageFaults,
      majorPageFaults: stats.majorPageFaults, memoryLimitHits: stats.memoryLimitHits, oomKills: stats.oomKills,
      swap: stats.swapBytes, processes: stats.processes, threads: stats.threads,
      threadsLimit: limit(stats.threadsLimit), cpuPressure: Pressure(stats.cpuPressure),
      memoryPressure: Pressure(stats.memoryPressure), ioPressure: Pressure(stats.ioPressure),
      disks: stats.disks.prefix(DiskUsage.most).map(DiskUsage.init))
  }
}

extension ProcessDetails {
  fileprivate init(_ details: Bulkhead_Agent_V1_ProcessDetails) {
    self.init(
      fileDescriptors: details.fileDescriptors, sockets: details.sockets,
      openFilesLimit: limit(details.openFilesLimit), running: details.running, sleeping: details.sleeping,
      stopped: details.stopped, uninterruptible: details.uninterruptible)
  }
}

extension Pressure {
  fileprivate init(_ pressure: Bulkhead_Agent_V1_Pressure) {
    self.init(some: Line(pressure.some), full: Line(pressure.full))
  }
}

extension Pressure.Line {
  fileprivate init(_ line: Bulkhead_Agent_V1_PressureLine) {
    func percent(_ hundredths: UInt32) -> Double { Double(min(hundredths, 10_000)) / 100 }
    self.init(
      nanoseconds: Pods.nanoseconds(line.totalMicroseconds), average10s: percent(line.average10S),
      average60s: percent(line.average60S), average300s: percent(line.average300S))
  }
}

extension DiskUsage {
  fileprivate static let most = 64

  fileprivate init(_ disk: Bulkhead_Agent_V1_DiskStats) {
    self.init(
      major: disk.major, minor: disk.minor, device: "/dev/\(printable(disk.name, limit: 32))",
      readBytes: disk.readBytes, writtenBytes: disk.writtenBytes, reads: disk.reads, writes: disk.writes)
  }
}

extension InterfaceUsage {
  fileprivate static let most = 64

  fileprivate init(_ stats: Bulkhead_Agent_V1_InterfaceStats) {
    self.init(
      name: printable(stats.name, limit: 16), receivedBytes: stats.receivedBytes,
      receivedPackets: stats.receivedPackets, receiveErrors: stats.receiveErrors, receiveDrops: stats.receiveDrops,
      sentBytes: stats.sentBytes, sentPackets: stats.sentPackets, sendErrors: stats.sendErrors,
      sendDrops: stats.sendDrops)
  }
}

private func nanoseconds(_ microseconds: UInt64) -> UInt64 {
  let (product, overflow) = microseconds.multipliedReportingOverflow(by: 1000)
  return overflow ? .max : product
}

/// The agent's word for "none" is the largest number.
private func limit(_ value: UInt64) -> UInt64? { value == .max ? nil : value }
