import AgentProtocol
import CGuest
import ContainerInit
import Glibc

/// Reads what a pod uses, and remembers its last answer: a pod in which nothing has run since then is told apart by
/// a few files, and most pods are idle most of the time.
struct PodUsageReader {
  private let pod = CgroupUsage(Boot.pod)
  private let scratch = KeptFile(GuestPath.scratch, flags: O_DIRECTORY)
  private let interfaces = KeptFile("/proc/net/dev")
  private let partitions = KeptFile("/proc/partitions")
  private var buffer = [UInt8](repeating: 0, count: 16 << 10)

  private struct ContainerUsage {
    let id: String
    let usage: CgroupUsage
    let project: UInt32
    /// The last ContainerStats message.
    var message: [UInt8]?
  }
  private var containers: [ContainerUsage] = []

  /// Parts of the last answer: concatenated, messages of one type make one.
  private var usage: [UInt8]?
  private var surroundings: [UInt8] = []
  private var disks: [UInt8] = []
  private var lastInterfaces: [UInt8] = []
  private var lastFilesystem: Bulkhead_Agent_V1_FilesystemStats?

  /// What the containers use, each and all together, the pod's interfaces and its disks, as a serialized
  /// StatsResponse.
  mutating func answer(_ containers: [Container]) throws -> [UInt8] {
    let usage = readContainers(containers)
    try readSurroundings()
    return usage + surroundings + disks
  }

  private mutating func readContainers(_ present: [Container]) -> [UInt8] {
    let areTheSame = present.elementsEqual(containers) { $0.id == $1.id }
    if !areTheSame { setContainers(present) }
    if !pod.hasChanged(&buffer), areTheSame, let usage { return usage }
    if pod.hasOtherDisks { readDisks() }
    var answer = MessageWriter()
    answer.append(1, pod.message(processes: pod.processes(&buffer), &buffer))
    // No container has cgroups of its own below: the usual case.
    let flat = pod.descendants(&buffer) == UInt64(containers.count)
    for index in containers.indices {
      let hasRun = containers[index].usage.hasChanged(below: pod, &buffer)
      if hasRun || containers[index].message == nil { containers[index].message = message(containers[index], flat) }
      if let message = containers[index].message { answer.append(2, message) }
    }
    usage = answer.bytes
    return answer.bytes
  }

  private mutating func setContainers(_ present: [Container]) {
    let known = Dictionary(containers.map { ($0.id, $0) }) { first, _ in first }
    containers = present.map {
      known[$0.id] ?? ContainerUsage(id: $0.id, usage: CgroupUsage($0.cgroup), project: $0.project)
    }
  }

  /// Nil for a container without a cgroup. `flat`: there are no cgroups in it.
  private mutating func message(_ container: ContainerUsage, _ flat: Bool) -> [UInt8]? {
    guard container.usage.exists else { return nil }
    var processes = container.usage.processes(&buffer)
    if !flat { processes &+= container.usage.processesBelow(&buffer) }
    var message = MessageWriter()
    message.append(1, container.id.utf8)
    message.append(2, container.usage.message(in: pod, processes: processes, &buffer))
    var (bytes, inodes): (UInt64, UInt64) = (0, 0)
    if guest_project_usage(scratch.descriptor, container.project, &bytes, &inodes) == 0 {
      message.append(3, bytes)
      message.append(4, inodes)
    }
    return message.bytes
  }

  private mutating func readSurroundings() throws {
    let count = interfaces.read(&buffer)
    let filesystem = filesystemStats(scratch.descriptor)
    guard !same(lastInterfaces, buffer, count) || filesystem != lastFilesystem else { return }
    lastInterfaces = Array(buffer[..<count])
    lastFilesystem = filesystem
    var part = MessageWriter()
    part.append(3, lastInterfaces)
    part.append(4, try filesystem.serializedBytes() as [UInt8])
    surroundings = part.bytes
  }

  private mutating func readDisks() {
    var part = MessageWriter()
    part.append(5, buffer[..<partitions.read(&buffer)])
    disks = part.bytes
  }

  /// A limit has changed.
  mutating func forget() {
    pod.forget()
    for container in containers { container.usage.forget() }
  }
}

extension Pod {
  /// What the pod, its containers and its interfaces use, as a serialized StatsResponse. Blocks.
  func stats(withDetails: Bool) throws -> [UInt8] {
    let containers = allContainers()
    let answer = try usage.withLock { try $0.answer(containers) }
    guard withDetails else { return answer }
    var details = Bulkhead_Agent_V1_StatsResponse()
    details.processDetails = containers.map { container in
      var one = ProcessDetailsReader.read(container.cgroup, first: container.birth.pid)
      one.containerID = container.id
      return one
    }
    return answer + (try details.serializedBytes() as [UInt8])
  }
}

/// Whether `known` is what the first `count` bytes of `buffer` are.
func same(_ known: [UInt8], _ buffer: [UInt8], _ count: Int) -> Bool {
  known.count == count && memcmp(known, buffer, count) == 0
}

private func filesystemStats(_ directory: Int32) -> Bulkhead_Agent_V1_FilesystemStats {
  var stats = Bulkhead_Agent_V1_FilesystemStats()
  var filesystem = statvfs()
  guard fstatvfs(directory, &filesystem) == 0 else { return stats }
  let block = UInt64(filesystem.f_frsize)
  stats.sizeBytes = UInt64(filesystem.f_blocks) &* block
  stats.availableBytes = UInt64(filesystem.f_bavail) &* block
  stats.inodes = UInt64(filesystem.f_files)
  stats.freeInodes = UInt64(filesystem.f_ffree)
  return stats
}
