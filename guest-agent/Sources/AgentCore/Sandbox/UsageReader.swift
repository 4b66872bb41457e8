import AgentProtocol
import CGuest
import ContainerInit
import Glibc
import LinuxSystem

/// Reads what a cgroup uses. What can't be read counts as 0: a kernel may lack a controller, and a cgroup
/// may go while it is looked at. All calls block.
struct UsageReader {
  private var buffer = [UInt8](repeating: 0, count: 8 << 10)
  private var diskNames: [UInt64: String] = [:]

  /// What a container can't make endless: devices, lines of cgroup.procs.
  private static let mostDisks = 64
  private static let mostCgroups = 1024

  /// Nil if there is no such cgroup.
  mutating func usage(_ cgroup: Cgroup) -> Bulkhead_Agent_V1_CgroupStats? {
    guard let directory = try? cgroup.openDirectory() else { return nil }
    let number = directory.number
    var stats = Bulkhead_Agent_V1_CgroupStats()
    readCPU(number, &stats)
    readMemory(number, &stats)
    stats.threads = read("pids.current", number).number
    stats.threadsLimit = read("pids.max", number).number
    stats.processes = processes(cgroup, number)
    stats.cpuPressure = pressure("cpu.pressure", number)
    stats.memoryPressure = pressure("memory.pressure", number)
    stats.ioPressure = pressure("io.pressure", number)
    stats.disks = disks(number)
    return stats
  }

  private static let cpuKeys = [
    "usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec",
  ].map { Array($0.utf8) }

  private mutating func readCPU(_ directory: Int32, _ stats: inout Bulkhead_Agent_V1_CgroupStats) {
    let cpu = read("cpu.stat", directory).values(Self.cpuKeys)
    stats.cpuMicroseconds = cpu[0]
    stats.cpuUserMicroseconds = cpu[1]
    stats.cpuSystemMicroseconds = cpu[2]
    stats.cpuPeriods = cpu[3]
    stats.cpuThrottledPeriods = cpu[4]
    stats.cpuThrottledMicroseconds = cpu[5]
  }

  private static let memoryKeys = [
    "anon", "file", "inactive_file", "active_file", "file_mapped", "kernel", "pgfault", "pgmajfault",
  ].map { Array($0.utf8) }
  private static let eventKeys = ["max", "oom_kill"].map { Array($0.utf8) }

  private mutating func readMemory(_ directory: Int32, _ stats: inout Bulkhead_Agent_V1_CgroupStats) {
    stats.memoryBytes = read("memory.current", directory).number
    stats.memoryPeakBytes = read("memory.peak", directory).number
    stats.memoryLimitBytes = read("memory.max", directory).number
    stats.swapBytes = read("memory.swap.current", directory).number
    let memory = read("memory.stat", directory).values(Self.memoryKeys)
    stats.memoryAnonymousBytes = memory[0]
    stats.memoryFileBytes = memory[1]
    stats.memoryInactiveFileBytes = memory[2]
    stats.memoryActiveFileBytes = memory[3]
    stats.memoryMappedFileBytes = memory[4]
    stats.memoryKernelBytes = memory[5]
    stats.pageFaults = memory[6]
    stats.majorPageFaults = memory[7]
    let events = read("memory.events", directory).values(Self.eventKeys)
    stats.memoryLimitHits = events[0]
    stats.oomKills = events[1]
  }

  /// Here and below: a further process of a container has a cgroup of its own.
  private mutating func processes(_ cgroup: Cgroup, _ directory: Int32) -> UInt64 {
    var count = UInt64(lines("cgroup.procs", directory))
    var rest = read("cgroup.stat", directory).values([Array("nr_descendants".utf8)])[0] > 0 ? [cgroup] : []
    var seen = 0
    while let parent = rest.popLast(), seen < Self.mostCgroups {
      for entry in (try? directoryEntries(parent.path)) ?? [] where entry.isDirectory {
        seen += 1
        let child = parent.child(String(decoding: entry.name, as: UTF8.self))
        guard let directory = try? child.openDirectory() else { continue }
        count += UInt64(lines("cgroup.procs", directory.number))
        rest.append(child)
      }
    }
    return count
  }

  private mutating func pressure(_ file: String, _ directory: Int32) -> Bulkhead_Agent_V1_Pressure {
    var pressure = Bulkhead_Agent_V1_Pressure()
    for words in read(file, directory).lines {
      var line = Bulkhead_Agent_V1_PressureLine()
      line.totalMicroseconds = KernelText.value("total", words)
      line.average10S = UInt32(clamping: KernelText.value("avg10", words))
      line.average60S = UInt32(clamping: KernelText.value("avg60", words))
      line.average300S = UInt32(clamping: KernelText.value("avg300", words))
      if words.first?.first == UInt8(ascii: "s") { pressure.some = line } else { pressure.full = line }
    }
    return pressure
  }

  private mutating func disks(_ directory: Int32) -> [Bulkhead_Agent_V1_DiskStats] {
    read("io.stat", directory).lines.prefix(Self.mostDisks).compactMap { words in
      guard words.count > 2 else { return nil }
      var disk = Bulkhead_Agent_V1_DiskStats()
      disk.major = UInt32(clamping: KernelText.decimal(words[0]))
      disk.minor = UInt32(clamping: KernelText.decimal(words[1]))
      disk.name = diskName(disk.major, disk.minor)
      disk.readBytes = KernelText.value("rbytes", words)
      disk.writtenBytes = KernelText.value("wbytes", words)
      disk.reads = KernelText.value("rios", words)
      disk.writes = KernelText.value("wios", words)
      return disk
    }
  }

  /// The last part of what sysfs links the device's number to.
  private mutating func diskName(_ major: UInt32, _ minor: UInt32) -> String {
    let key = UInt64(major) << 32 | UInt64(minor)
    if let known = diskNames[key] { return known }
    let length = readlink("/sys/dev/block/\(major):\(minor)", &characters, characters.count)
    let target = characters.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }
    let name = String(decoding: target.reversed().prefix { $0 != UInt8(ascii: "/") }.reversed(), as: UTF8.self)
    diskNames[key] = name
    return name
  }

  private var characters = [CChar](repeating: 0, count: 256)

  // MARK: - Files

  private mutating func read(_ name: String, _ directory: Int32) -> KernelText {
    let file = openat(directory, name, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return KernelText([]) }
    defer { close(file) }
    let count = Glibc.read(file, &buffer, buffer.count)
    return KernelText(Array(buffer.prefix(max(count, 0))))
  }

  /// The number of lines of a file of any length.
  private mutating func lines(_ name: String, _ directory: Int32) -> Int {
    let file = openat(directory, name, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return 0 }
    defer { close(file) }
    var total = 0
    while case let count = Glibc.read(file, &buffer, buffer.count), count > 0 {
      total += KernelText(Array(buffer.prefix(count))).lineCount
    }
    return total
  }

  /// Memory of a cgroup that the kernel could not take back without killing.
  static func unreclaimable(_ cgroup: Cgroup) -> UInt64 {
    guard let current = (try? cgroup.read("memory.current")).map({ KernelText($0).number }) else { return 0 }
    let keys = ["inactive_file", "active_file", "slab_reclaimable"].map { Array($0.utf8) }
    let caches = (try? cgroup.read("memory.stat")).map { KernelText($0).values(keys) } ?? []
    return caches.reduce(current) { $0 > $1 ? $0 - $1 : 0 }
  }
}
