import AgentProtocol
import Common
import FoundationEssentials
import LinuxSystem

/// An agent's answer, bounded: a guest can send any text, any numbers and any names. What is not there counts as 0.
extension PodUsage {
  /// What is said of containers that are not among `known` is dropped.
  init(_ response: Bulkhead_Agent_V1_StatsResponse, pod: PodID, time: Int64, known: Set<ContainerID>) {
    podID = pod
    self.time = time
    let names = diskNames(KernelText(response.partitions, limit: 16 << 10))
    total = ResourceUsage(response.pod, names)
    containers = [:]
    for container in response.containers {
      total.processes &+= container.usage.processes
      guard let id = ContainerID(container.containerID), known.contains(id), containers[id] == nil else { continue }
      containers[id] = ContainerUsage(
        resources: ResourceUsage(container.usage, names),
        writableBytes: container.hasWritableBytes ? container.writableBytes : nil,
        writableInodes: container.hasWritableInodes ? container.writableInodes : nil)
    }
    for details in response.processDetails {
      guard let id = ContainerID(details.containerID) else { continue }
      containers[id]?.processes = ProcessDetails(details)
    }
    interfaces = InterfaceUsage.all(KernelText(response.interfaces, limit: 16 << 10))
    scratch = FilesystemSize(
      size: response.scratch.sizeBytes, available: response.scratch.availableBytes, inodes: response.scratch.inodes,
      freeInodes: response.scratch.freeInodes)
  }
}

extension KernelText {
  fileprivate init(_ data: Data, limit: Int = 8 << 10) { self.init(Array(data.prefix(limit))) }
}

private let cpuKeys = ["usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec"]
  .map { Array($0.utf8) }
private let memoryKeys = [
  "anon", "file", "inactive_file", "active_file", "file_mapped", "kernel", "pgfault", "pgmajfault",
].map { Array($0.utf8) }
private let eventKeys = ["max", "oom_kill"].map { Array($0.utf8) }

extension ResourceUsage {
  init(_ files: Bulkhead_Agent_V1_CgroupFiles, _ diskNames: [DeviceNumber: String]) {
    let cpu = KernelText(files.cpuStat).values(cpuKeys)
    let parts = KernelText(files.memoryStat).values(memoryKeys)
    let events = KernelText(files.memoryEvents).values(eventKeys)
    self.init(
      cpuNanoseconds: nanoseconds(cpu[0]), cpuUserNanoseconds: nanoseconds(cpu[1]),
      cpuSystemNanoseconds: nanoseconds(cpu[2]), cpuPeriods: cpu[3], cpuThrottledPeriods: cpu[4],
      cpuThrottledNanoseconds: nanoseconds(cpu[5]), cpuNanoCores: nil,
      memory: KernelText(files.memoryCurrent).number, memoryPeak: KernelText(files.memoryPeak).number,
      memoryLimit: limit(KernelText(files.memoryMax).number), anonymous: parts[0], file: parts[1],
      inactiveFile: parts[2], activeFile: parts[3], mappedFile: parts[4], kernelMemory: parts[5], pageFaults: parts[6],
      majorPageFaults: parts[7], memoryLimitHits: events[0], oomKills: events[1],
      swap: KernelText(files.memorySwapCurrent).number, processes: files.processes,
      threads: KernelText(files.pidsCurrent).number, threadsLimit: limit(KernelText(files.pidsMax).number),
      cpuPressure: Pressure(KernelText(files.cpuPressure)), memoryPressure: Pressure(KernelText(files.memoryPressure)),
      ioPressure: Pressure(KernelText(files.ioPressure)), disks: DiskUsage.all(KernelText(files.ioStat), diskNames))
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
  fileprivate init(_ text: KernelText) {
    let lines = text.pressure
    self.init(some: Line(lines.first { !$0.isFull }), full: Line(lines.first { $0.isFull }))
  }
}

extension Pressure.Line {
  fileprivate init(_ line: KernelText.PressureLine?) {
    let values = line?.values ?? [0, 0, 0, 0]
    func percent(_ hundredths: UInt64) -> Double { Double(min(hundredths, 10_000)) / 100 }
    self.init(
      nanoseconds: Pods.nanoseconds(values[3]), average10s: percent(values[0]), average60s: percent(values[1]),
      average300s: percent(values[2]))
  }
}

struct DeviceNumber: Hashable {
  var major: UInt32
  var minor: UInt32

  init(_ major: ArraySlice<UInt8>, _ minor: ArraySlice<UInt8>) {
    self.major = UInt32(clamping: KernelText.decimal(major))
    self.minor = UInt32(clamping: KernelText.decimal(minor))
  }
}

/// The lines of /proc/partitions after its titles: major and minor number, blocks, name.
private func diskNames(_ text: KernelText) -> [DeviceNumber: String] {
  var names: [DeviceNumber: String] = [:]
  for words in text.lines.dropFirst() where words.count == 4 {
    names[DeviceNumber(words[0], words[1])] = printable(String(decoding: words[3], as: UTF8.self), limit: 32)
  }
  return names
}

extension DiskUsage {
  private static let most = 64

  /// The lines of io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ...".
  fileprivate static func all(_ text: KernelText, _ names: [DeviceNumber: String]) -> [DiskUsage] {
    text.lines.prefix(most).compactMap { words in
      guard words.count > 2 else { return nil }
      let number = DeviceNumber(words[0], words[1])
      return DiskUsage(
        major: number.major, minor: number.minor, device: "/dev/\(names[number] ?? "")",
        readBytes: KernelText.value("rbytes", words), writtenBytes: KernelText.value("wbytes", words),
        reads: KernelText.value("rios", words), writes: KernelText.value("wios", words))
    }
  }
}

extension InterfaceUsage {
  private static let most = 64

  /// The lines of /proc/net/dev after its two of titles: a name, then eight numbers received and eight sent.
  fileprivate static func all(_ text: KernelText) -> [InterfaceUsage] {
    text.lines.dropFirst(2).prefix(most).compactMap { words in
      guard words.count >= 17 else { return nil }
      let numbers = words.dropFirst().map { KernelText.decimal($0) }
      return InterfaceUsage(
        name: printable(String(decoding: words[0], as: UTF8.self), limit: 16), receivedBytes: numbers[0],
        receivedPackets: numbers[1], receiveErrors: numbers[2], receiveDrops: numbers[3], sentBytes: numbers[8],
        sentPackets: numbers[9], sendErrors: numbers[10], sendDrops: numbers[11])
    }
  }
}

private func nanoseconds(_ microseconds: UInt64) -> UInt64 {
  let (product, overflow) = microseconds.multipliedReportingOverflow(by: 1000)
  return overflow ? .max : product
}

/// "max" is read as the largest number.
private func limit(_ value: UInt64) -> UInt64? { value == .max ? nil : value }
