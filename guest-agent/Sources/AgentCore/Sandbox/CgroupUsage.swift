import ContainerInit
import LinuxSystem

/// What a cgroup uses, read time and again: the text of its files, as a CgroupFiles message. All calls block.
final class CgroupUsage {
  let cgroup: Cgroup
  private let files: CgroupFiles
  /// Of the telltale files, by their names' numbers, and which of them read differently the last time.
  private var texts = [[UInt8]?](repeating: nil, count: CgroupFiles.Name.numbers)
  private var changed = [Bool](repeating: false, count: CgroupFiles.Name.numbers)
  private var isForgotten = false
  private var hasSwapped = true
  private var hasMemoryEvents = true

  init(_ cgroup: Cgroup) {
    self.cgroup = cgroup
    files = CgroupFiles(cgroup)
  }

  /// What a container can't make endless.
  private static let mostCgroups = 1024

  /// Files of a cgroup that don't read the same when anything in it or below has run, waited for a resource, or gained
  /// or lost memory: what else is read of it can't have changed without that, but for limits.
  private static let telltale: [CgroupFiles.Name] = [
    .cpu, .memory, .threads, .cpuPressure, .memoryPressure, .ioPressure, .disks,
  ]

  /// Of these, those that sum up what is below: where they read the same, they do so in all cgroups below.
  private static let summing: [CgroupFiles.Name] = [.memoryPressure, .ioPressure, .disks]

  /// The rest, but for those that the pod's cgroup can tell to be 0.
  private static let others: [CgroupFiles.Name] = [.memoryPeak, .memoryLimit, .memoryParts, .threadsLimit]

  /// Reads the telltale files. False if all of them read as they did before, so that the last `message` still holds.
  /// `parent`, if it was read just before, spares reading of what has not changed in any of its children.
  func hasChanged(below parent: CgroupUsage? = nil, _ buffer: inout [UInt8]) -> Bool {
    var hasChanged = isForgotten
    isForgotten = false
    for name in Self.telltale {
      let known = texts[name.rawValue]
      changed[name.rawValue] = false
      if let parent, !parent.changed[name.rawValue], known != nil, Self.summing.contains(name) { continue }
      let count = files.read(name, &buffer)
      if let known, same(known, buffer, count) { continue }
      texts[name.rawValue] = Array(buffer[..<count])
      changed[name.rawValue] = true
      hasChanged = true
    }
    // Where not even that can be read, nothing tells.
    return hasChanged || !exists
  }

  /// For when a limit has changed: everything has then.
  func forget() { isForgotten = true }

  /// Of what `hasChanged` has just looked at.
  var exists: Bool { !(texts[CgroupFiles.Name.cpu.rawValue] ?? []).isEmpty }
  var hasOtherDisks: Bool { changed[CgroupFiles.Name.disks.rawValue] }

  /// What `hasChanged` has just looked at, and the rest. Of a cgroup of `parent`, whose message was made before, what
  /// the parent has none of is left out.
  func message(in parent: CgroupUsage? = nil, processes: UInt64, _ buffer: inout [UInt8]) -> [UInt8] {
    var message = MessageWriter()
    for name in Self.telltale { message.append(name.rawValue, texts[name.rawValue] ?? []) }
    for name in Self.others { append(name, to: &message, &buffer) }
    if parent?.hasSwapped ?? true { hasSwapped = append(.swap, to: &message, &buffer) }
    if parent?.hasMemoryEvents ?? true { hasMemoryEvents = append(.memoryEvents, to: &message, &buffer) }
    message.append(CgroupFiles.processes, processes)
    return message.bytes
  }

  /// Whether there is a number in it that is not 0.
  @discardableResult
  private func append(_ name: CgroupFiles.Name, to message: inout MessageWriter, _ buffer: inout [UInt8]) -> Bool {
    let text = buffer[..<files.read(name, &buffer)]
    message.append(name.rawValue, text)
    return text.contains { (0x31...0x39).contains($0) }
  }

  /// How many cgroups there are below.
  func descendants(_ buffer: inout [UInt8]) -> UInt64 {
    let count = files.read(.descendants, &buffer)
    return KernelText(Array(buffer[..<count])).values([Array("nr_descendants".utf8)])[0]
  }

  func processes(_ buffer: inout [UInt8]) -> UInt64 { UInt64(files.lines(.processes, &buffer)) }

  /// Those of the cgroups below: a further process of a container has a cgroup of its own.
  func processesBelow(_ buffer: inout [UInt8]) -> UInt64 {
    var count: UInt64 = 0
    var rest = descendants(&buffer) > 0 ? [cgroup] : []
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
}
