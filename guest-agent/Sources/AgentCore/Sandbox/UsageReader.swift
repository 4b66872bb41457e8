import AgentProtocol
import CGuest
import ContainerInit
import Glibc
import LinuxSystem

/// Reads what cgroups use, time and again. What can't be read counts as 0: a kernel may lack a controller, and
/// a cgroup may go while it is looked at. All calls block.
struct UsageReader {
  private var buffer = [UInt8](repeating: 0, count: 8 << 10)
  private var diskNames: [UInt64: String] = [:]
  private var known: [String: CgroupRecord] = [:]

  /// What a container can't make endless: devices, lines of cgroup.procs.
  private static let mostDisks = 64
  private static let mostCgroups = 1024

  /// Files of a cgroup that don't read the same when anything in it or below has run, waited for a resource, or gained
  /// or lost memory: what else is read of it can't have changed without that, but for limits.
  private static let telltale: [CgroupFiles.Name] = [
    .cpu, .memory, .threads, .cpuPressure, .memoryPressure, .ioPressure, .disks,
  ]

  /// Of these, those that sum up what is below: where they read the same, they do so in all cgroups below.
  private static let summing: [CgroupFiles.Name] = [.memoryPressure, .ioPressure, .disks]

  /// Reads those files. False if all of them read as they did before, so that the last `usage` still holds.
  /// `parent`, if it was read just before, spares reading of what has not changed in any of its children.
  mutating func hasChanged(_ cgroup: Cgroup, below parent: Cgroup? = nil) -> Bool {
    let record = record(cgroup)
    let above = parent.map { self.record($0).changed }
    var hasChanged = record.isForgotten
    record.isForgotten = false
    for name in Self.telltale {
      let known = record.texts[name.rawValue]
      record.changed[name.rawValue] = false
      if let above, !above[name.rawValue], known != nil, Self.summing.contains(name) { continue }
      let count = record.files.read(name, &buffer)
      if let known, known.count == count, memcmp(known, buffer, count) == 0 { continue }
      record.texts[name.rawValue] = Array(buffer[..<count])
      record.changed[name.rawValue] = true
      hasChanged = true
    }
    // Where not even that can be read, nothing tells.
    return hasChanged || record.text(.cpu).isEmpty
  }

  /// For when a limit has changed: everything has then.
  mutating func forget() { for record in known.values { record.isForgotten = true } }

  /// What `hasChanged` has just looked at, and the rest. Nil if there is no such cgroup.
  mutating func usage(
    _ cgroup: Cgroup, in parent: Bulkhead_Agent_V1_CgroupStats? = nil
  ) -> Bulkhead_Agent_V1_CgroupStats? {
    let record = record(cgroup)
    var stats = Bulkhead_Agent_V1_CgroupStats()
    guard setCPU(record.text(.cpu), &stats) else { return nil }
    readMemory(record, &stats)
    if parent?.swapBytes != 0 { stats.swapBytes = read(.swap, record).number }
    if parent.map({ $0.memoryLimitHits > 0 || $0.oomKills > 0 }) ?? true { readMemoryEvents(record, &stats) }
    stats.threads = record.text(.threads).number
    stats.threadsLimit = read(.threadsLimit, record).number
    stats.cpuPressure = Self.pressure(record.text(.cpuPressure))
    stats.memoryPressure = Self.pressure(record.text(.memoryPressure))
    stats.ioPressure = Self.pressure(record.text(.ioPressure))
    stats.disks = disks(record.text(.disks))
    return stats
  }

  /// How many cgroups there are below.
  mutating func descendants(_ cgroup: Cgroup) -> UInt64 {
    read(.descendants, record(cgroup)).values([Array("nr_descendants".utf8)])[0]
  }

  mutating func processes(_ cgroup: Cgroup) -> UInt64 { UInt64(record(cgroup).files.lines(.processes, &buffer)) }

  /// Those of the cgroups below: a further process of a container has a cgroup of its own.
  mutating func processesBelow(_ cgroup: Cgroup) -> UInt64 {
    var count: UInt64 = 0
    var rest = descendants(cgroup) > 0 ? [cgroup] : []
    var seen = 0
    while let parent = rest.popLast(), seen < Self.mostCgroups {
      for entry in (try? directoryEntries(parent.path)) ?? [] where entry.isDirectory {
        seen += 1
        let child = parent.child(String(decoding: entry.name, as: UTF8.self))
        count &+= UInt64(CgroupFiles(child).lines(.processes, &buffer))
        rest.append(child)
      }
    }
    return count
  }

  private mutating func record(_ cgroup: Cgroup) -> CgroupRecord {
    if let record = known[cgroup.path] { return record }
    let new = CgroupRecord(cgroup)
    known[cgroup.path] = new
    return new
  }

  /// Forgets all other cgroups.
  mutating func keep(_ paths: Set<String>) { known = known.filter { paths.contains($0.key) } }

  private static let cpuKeys = [
    "usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec",
  ].map { Array($0.utf8) }

  /// False if there is nothing to read: that file is in every cgroup.
  private func setCPU(_ text: KernelText, _ stats: inout Bulkhead_Agent_V1_CgroupStats) -> Bool {
    if text.isEmpty { return false }
    let cpu = text.values(Self.cpuKeys)
    stats.cpuMicroseconds = cpu[0]
    stats.cpuUserMicroseconds = cpu[1]
    stats.cpuSystemMicroseconds = cpu[2]
    stats.cpuPeriods = cpu[3]
    stats.cpuThrottledPeriods = cpu[4]
    stats.cpuThrottledMicroseconds = cpu[5]
    return true
  }

  private static let memoryKeys = [
    "anon", "file", "inactive_file", "active_file", "file_mapped", "kernel", "pgfault", "pgmajfault",
  ].map { Array($0.utf8) }
  private static let eventKeys = ["max", "oom_kill"].map { Array($0.utf8) }

  private mutating func readMemory(_ record: CgroupRecord, _ stats: inout Bulkhead_Agent_V1_CgroupStats) {
    stats.memoryBytes = record.text(.memory).number
    stats.memoryPeakBytes = read(.memoryPeak, record).number
    stats.memoryLimitBytes = read(.memoryLimit, record).number
    let memory = read(.memoryParts, record).values(Self.memoryKeys)
    stats.memoryAnonymousBytes = memory[0]
    stats.memoryFileBytes = memory[1]
    stats.memoryInactiveFileBytes = memory[2]
    stats.memoryActiveFileBytes = memory[3]
    stats.memoryMappedFileBytes = memory[4]
    stats.memoryKernelBytes = memory[5]
    stats.pageFaults = memory[6]
    stats.majorPageFaults = memory[7]
  }

  private mutating func readMemoryEvents(_ record: CgroupRecord, _ stats: inout Bulkhead_Agent_V1_CgroupStats) {
    let events = read(.memoryEvents, record).values(Self.eventKeys)
    stats.memoryLimitHits = events[0]
    stats.oomKills = events[1]
  }

  private static func pressure(_ text: KernelText) -> Bulkhead_Agent_V1_Pressure {
    var pressure = Bulkhead_Agent_V1_Pressure()
    for line in text.pressure {
      var message = Bulkhead_Agent_V1_PressureLine()
      message.average10S = UInt32(clamping: line.values[0])
      message.average60S = UInt32(clamping: line.values[1])
      message.average300S = UInt32(clamping: line.values[2])
      message.totalMicroseconds = line.values[3]
      if line.isFull { pressure.full = message } else { pressure.some = message }
    }
    return pressure
  }

  private mutating func disks(_ text: KernelText) -> [Bulkhead_Agent_V1_DiskStats] {
    text.lines.prefix(Self.mostDisks).compactMap { words in
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

  private mutating func read(_ name: CgroupFiles.Name, _ record: CgroupRecord) -> KernelText {
    let count = record.files.read(name, &buffer)
    return KernelText(Array(buffer[..<count]))
  }

  /// Memory of a cgroup that the kernel could not take back without killing.
  static func unreclaimable(_ cgroup: Cgroup) -> UInt64 {
    guard let current = (try? cgroup.read("memory.current")).map({ KernelText($0).number }) else { return 0 }
    let keys = ["inactive_file", "active_file", "slab_reclaimable"].map { Array($0.utf8) }
    let caches = (try? cgroup.read("memory.stat")).map { KernelText($0).values(keys) } ?? []
    return caches.reduce(current) { $0 > $1 ? $0 - $1 : 0 }
  }
}

/// What is kept of a cgroup between two readings.
private final class CgroupRecord {
  let files: CgroupFiles
  /// Of the telltale files, by their names' numbers, and which of them read differently the last time.
  var texts = [[UInt8]?](repeating: nil, count: CgroupFiles.Name.allCases.count)
  var changed = [Bool](repeating: false, count: CgroupFiles.Name.allCases.count)
  var isForgotten = false

  init(_ cgroup: Cgroup) { files = CgroupFiles(cgroup) }

  func text(_ name: CgroupFiles.Name) -> KernelText { KernelText(texts[name.rawValue] ?? []) }
}
