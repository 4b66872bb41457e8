import AgentProtocol
import CGuest
import ContainerInit
import Glibc

/// Reads what a pod uses, and remembers its last answer: a pod in which nothing has run since then is told apart by
/// a few files, and most pods are idle most of the time.
struct PodUsageReader {
  private var reader = UsageReader()
  private let scratch = KeptFile(GuestPath.scratch, flags: O_DIRECTORY)
  private let interfaces = KeptFile("/proc/net/dev")
  private var buffer = [UInt8](repeating: 0, count: 16 << 10)

  /// A part of the answer, and the same as bytes: concatenated, messages of one type make one.
  private struct Part {
    var message = Bulkhead_Agent_V1_StatsResponse() { didSet { known = nil } }
    private var known: [UInt8]?

    mutating func bytes() throws -> [UInt8] {
      if let known { return known }
      let bytes: [UInt8] = try message.serializedBytes()
      known = bytes
      return bytes
    }
  }
  private var usage = Part()
  private var surroundings = Part()
  private var lastInterfaces: [UInt8] = []

  /// What the containers use, each and all together, the pod's interfaces and its scratch disk, as a serialized
  /// StatsResponse.
  mutating func answer(_ containers: [Container]) throws -> [UInt8] {
    readContainers(containers)
    readSurroundings()
    return try usage.bytes() + surroundings.bytes()
  }

  /// The same as a message.
  mutating func read(_ containers: [Container]) -> Bulkhead_Agent_V1_StatsResponse {
    readContainers(containers)
    readSurroundings()
    var response = surroundings.message
    response.pod = usage.message.pod
    response.containers = usage.message.containers
    return response
  }

  private mutating func readContainers(_ containers: [Container]) {
    let last = Dictionary(usage.message.containers.map { ($0.containerID, $0) }) { first, _ in first }
    let hasChanged = reader.hasChanged(Boot.pod)
    if !hasChanged, last.count == containers.count, containers.allSatisfy({ last[$0.id] != nil }) { return }
    var response = Bulkhead_Agent_V1_StatsResponse()
    response.pod = reader.usage(Boot.pod) ?? .init()
    response.pod.processes = reader.processes(Boot.pod)
    // No container has cgroups of its own below: the usual case.
    let flat = reader.descendants(Boot.pod) == UInt64(containers.count)
    for container in containers {
      let hasRun = reader.hasChanged(container.cgroup, below: Boot.pod)
      guard let stats = hasRun ? stats(of: container, in: response.pod, flat) : last[container.id] else { continue }
      response.pod.processes &+= stats.usage.processes
      response.containers.append(stats)
    }
    reader.keep(Set(containers.map(\.cgroup.path) + [Boot.pod.path]))
    usage.message = response
  }

  private mutating func readSurroundings() {
    let count = interfaces.read(&buffer)
    let filesystem = filesystemStats(scratch.descriptor)
    guard !buffer[..<count].elementsEqual(lastInterfaces) || filesystem != surroundings.message.scratch else { return }
    lastInterfaces = Array(buffer[..<count])
    var response = Bulkhead_Agent_V1_StatsResponse()
    response.interfaces = interfaceStats(lastInterfaces)
    response.scratch = filesystem
    surroundings.message = response
  }

  /// A limit has changed.
  mutating func forget() { reader.forget() }

  /// Nil for a container without a cgroup. `flat`: there are no cgroups in it.
  private mutating func stats(
    of container: Container, in pod: Bulkhead_Agent_V1_CgroupStats, _ flat: Bool
  ) -> Bulkhead_Agent_V1_ContainerStats? {
    guard var usage = reader.usage(container.cgroup, in: pod) else { return nil }
    usage.processes = reader.processes(container.cgroup)
    if !flat { usage.processes &+= reader.processesBelow(container.cgroup) }
    var stats = Bulkhead_Agent_V1_ContainerStats()
    stats.containerID = container.id
    stats.usage = usage
    var (bytes, inodes): (UInt64, UInt64) = (0, 0)
    if guest_project_usage(scratch.descriptor, container.project, &bytes, &inodes) == 0 {
      stats.writableBytes = bytes
      stats.writableInodes = inodes
    }
    return stats
  }
}

extension Pod {
  /// What the pod, its containers and its interfaces use, as a serialized StatsResponse. Blocks.
  func stats(withDetails: Bool) throws -> [UInt8] {
    let containers = allContainers()
    guard withDetails else { return try usage.withLock { try $0.answer(containers) } }
    var response = usage.withLock { $0.read(containers) }
    let known = Dictionary(containers.map { ($0.id, $0) }) { first, _ in first }
    for index in response.containers.indices {
      guard let container = known[response.containers[index].containerID] else { continue }
      response.containers[index].processDetails = ProcessDetailsReader.read(
        container.cgroup, first: container.birth.pid)
    }
    return try response.serializedBytes()
  }
}

/// The lines of /proc/net/dev after its two of titles: a name, then eight numbers received and eight sent.
func interfaceStats(_ text: [UInt8]) -> [Bulkhead_Agent_V1_InterfaceStats] {
  KernelText(text).lines.dropFirst(2).prefix(64).compactMap { words in
    guard words.count >= 17 else { return nil }
    let numbers = words.dropFirst().map { KernelText.decimal($0) }
    var stats = Bulkhead_Agent_V1_InterfaceStats()
    stats.name = String(decoding: words[0], as: UTF8.self)
    stats.receivedBytes = numbers[0]
    stats.receivedPackets = numbers[1]
    stats.receiveErrors = numbers[2]
    stats.receiveDrops = numbers[3]
    stats.sentBytes = numbers[8]
    stats.sentPackets = numbers[9]
    stats.sendErrors = numbers[10]
    stats.sendDrops = numbers[11]
    return stats
  }
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
