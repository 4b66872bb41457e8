import AgentProtocol
import CGuest
import ContainerInit
import Glibc

/// Reads what a pod uses, and remembers the last answer: a pod in which nothing has run since then is told apart by
/// a few files, and most pods are idle most of the time.
struct PodUsageReader {
  private var reader = UsageReader()
  private var last = Bulkhead_Agent_V1_StatsResponse()

  /// What the containers use, each and all together.
  mutating func read(_ containers: [Container], scratch: Int32) -> Bulkhead_Agent_V1_StatsResponse {
    let isSame =
      last.containers.count == containers.count
      && zip(last.containers, containers).allSatisfy { $0.containerID == $1.id }
    if reader.isUnchanged(Boot.pod), isSame { return last }
    var response = Bulkhead_Agent_V1_StatsResponse()
    response.pod = reader.usage(Boot.pod) ?? .init()
    response.pod.processes = reader.processes(Boot.pod)
    // No container has cgroups of its own below: the usual case.
    let flat = reader.descendants(Boot.pod) == UInt64(containers.count)
    for container in containers {
      guard var usage = reader.usage(container.cgroup, in: response.pod) else { continue }
      usage.processes = reader.processes(container.cgroup)
      if !flat { usage.processes &+= reader.processesBelow(container.cgroup) }
      response.pod.processes &+= usage.processes
      response.containers.append(stats(of: container, usage, scratch))
    }
    reader.keepOpen(Set(containers.map(\.cgroup.path) + [Boot.pod.path]))
    last = response
    return response
  }

  /// A limit has changed.
  mutating func forget() { reader.forget() }

  private func stats(
    of container: Container, _ usage: Bulkhead_Agent_V1_CgroupStats, _ scratch: Int32
  ) -> Bulkhead_Agent_V1_ContainerStats {
    var stats = Bulkhead_Agent_V1_ContainerStats()
    stats.containerID = container.id
    stats.usage = usage
    var (bytes, inodes): (UInt64, UInt64) = (0, 0)
    if guest_project_usage(scratch, container.project, &bytes, &inodes) == 0 {
      stats.writableBytes = bytes
      stats.writableInodes = inodes
    }
    return stats
  }
}

extension Pod {
  /// What the pod, its containers and its interfaces use. Blocks.
  func stats(withDetails: Bool) -> Bulkhead_Agent_V1_StatsResponse {
    let scratch = open(GuestPath.scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer { if scratch >= 0 { close(scratch) } }
    let containers = allContainers()
    var response = usage.withLock { $0.read(containers, scratch: scratch) }
    if withDetails {
      let known = Dictionary(containers.map { ($0.id, $0) }) { first, _ in first }
      for index in response.containers.indices {
        guard let container = known[response.containers[index].containerID] else { continue }
        response.containers[index].processDetails = ProcessDetailsReader.read(
          container.cgroup, first: container.birth.pid)
      }
    }
    response.interfaces = interfaceStats((try? readFile("/proc/net/dev", limit: 64 << 10)) ?? [])
    response.scratch = filesystemStats(scratch)
    return response
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
