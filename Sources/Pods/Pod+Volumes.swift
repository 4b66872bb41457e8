import AgentProtocol
import Common
import FoundationEssentials
import Hypervisor
import LinuxSystem
import PodVolumes

/// What a container's mounts and devices are in the guest, and what of the host's it needs for them.
struct ContainerVolumes: Sendable {
  var mounts: [Bulkhead_Agent_V1_Mount] = []
  var devices: [Bulkhead_Agent_V1_Device] = []
  /// Names of the share's entries that it uses.
  var entries: Set<String> = []
}

/// The volumes of a pod: everything that containers mount of the host's, as entries of the one directory that
/// virtiofsd shows to the guest. Containers that mount the same have one entry in common.
extension Pod {
  private static let shareTag = "bulkhead"

  /// Brings all that the container mounts into the machine. On error the caller calls `releaseVolumes`.
  func prepareVolumes(
    of container: ContainerID, _ configuration: ContainerConfiguration, _ running: Running
  ) async throws -> ContainerVolumes {
    var volumes = ContainerVolumes()
    // As containerd: what lies deeper is mounted later, so that nothing is hidden by what comes after it.
    let mounts = configuration.mounts.enumerated().sorted {
      (depth($0.element), $0.offset) < (depth($1.element), $1.offset)
    }
    .map(\.element)
    if mounts.isEmpty, configuration.devices.isEmpty { return volumes }
    try await volumeOperations.run {
      volumeUsers[container] = []
      for mount in mounts {
        switch mount.source {
        case .image(let reference, let subPath):
          volumes.mounts.append(try await imageMount(mount, reference, subPath, running))
        case .host(let path, let propagation):
          let shared = try await hostMount(mount, path, propagation, container, running)
          volumes.mounts.append(shared)
        }
      }
      volumes.entries = volumeUsers[container] ?? []
    }
    for device in configuration.devices { volumes.devices.append(try await self.device(device, running)) }
    return volumes
  }

  private func depth(_ mount: VolumeMount) -> Int { mount.destination.split(separator: "/").count }

  // MARK: - Host paths

  private func hostMount(
    _ mount: VolumeMount, _ path: String, _ asked: VolumeMount.Propagation, _ container: ContainerID, _ running: Running
  ) async throws -> Bulkhead_Agent_V1_Mount {
    let propagation = try propagation(asked, mount)
    let request = HostMount(
      path: path, destination: mount.destination, propagation: propagation, readonly: mount.readonly)
    let found = try await onDedicatedThread { try request.resolve() }
    var result = Bulkhead_Agent_V1_Mount()
    result.destination = Data(mount.destination.utf8)
    result.options = ["rbind", "rprivate"]
    switch found {
    case .memory(let memory):
      result.setMemory(memory)
      if mount.readonly != .no { result.options.append("ro") }
    case .share(let share):
      let writable = mount.readonly == .no
      let name = try await entry(share.key, share.source, writable: writable, for: container, running)
      result.type = share.follows ? "follow" : "share"
      result.source = Data(name.utf8)
      result.options += share.guestOptions
    }
    result.options += mount.options
    return result
  }

  private func propagation(
    _ asked: VolumeMount.Propagation, _ mount: VolumeMount
  ) throws(BulkheadError) -> ShareEntry.Propagation {
    switch asked {
    case .private: return .private
    case .hostToContainer: return .slave
    case .bidirectional:
      if services.configuration.lowersBidirectionalMounts { return .slave }
      throw BulkheadError(
        .invalidArgument,
        "mount \(printable(mount.destination)): mounts made in a virtual machine can't reach the host (mountPropagation Bidirectional); use HostToContainer, or set container.bidirectional_mounts = \"host_to_container\""
      )
    }
  }

  /// The entry of this key, made if there is none, and writable if that is wanted.
  private func entry(
    _ key: ShareEntry.Key, _ source: HostSource, writable: Bool, for container: ContainerID, _ running: Running
  ) async throws -> String {
    let share = ShareDirectory(path: services.configuration.shareDirectory(id))
    if let known = shareEntries.first(where: { $0.key == key }) {
      volumeUsers[container, default: []].insert(known.name)
      if writable, !writableEntries.contains(known.name), !source.isReadonly {
        let server = try await running.machine.status().shareServerPID
        try await onNamespaceThread { try share.allowWriting(known.name, server: server) }
        writableEntries.insert(known.name)
      }
      return known.name
    }
    let entry = ShareEntry(key: key)
    volumeUsers[container, default: []].insert(entry.name)
    let first = !holds(.share(path: share.path))
    try await acquire((first ? [.share(path: share.path)] : []) + [.volume(share: share.path, entry)])
    try await onDedicatedThread {
      try share.make()
      try share.add(entry, source, writable: writable)
    }
    if writable { writableEntries.insert(entry.name) }
    // Idempotent: a former daemon may have been killed before it was done.
    if !sharePlugged {
      try await running.machine.attach(MachineShare(tag: Self.shareTag, directory: share.path))
      try await confine(running.machine)
      sharePlugged = true
    }
    // A pod that was stopped meanwhile has released what it had before; the rest is the caller's to release.
    _ = try self.running()
    return entry.name
  }

  // MARK: - Images

  private func imageMount(
    _ mount: VolumeMount, _ reference: String, _ subPath: String, _ running: Running
  ) async throws -> Bulkhead_Agent_V1_Mount {
    guard let image = services.images.image(reference) else {
      throw BulkheadError(
        .notFound,
        "mount \(printable(mount.destination)): image \(printable(reference)) is not on this node: pull it first")
    }
    let disk = try imageDisk(image.id, on: running.machine)
    try await disk.plugging.value
    return .with {
      $0.destination = Data(mount.destination.utf8)
      $0.type = "image"
      $0.source = Data(disk.serial.utf8)
      $0.subPath = Data(subPath.utf8)
      $0.options = ["ro", "nosuid", "nodev", "noexec", "rprivate"] + mount.options
    }
  }

  // MARK: - Devices

  private func device(_ device: HostDevice, _ running: Running) async throws -> Bulkhead_Agent_V1_Device {
    let found = try await onDedicatedThread { try BlockDevice(device.hostPath) }
    let writable = device.permissions.contains(.write)
    let serial = "d-\(found.major)-\(found.minor)-\(writable ? "w" : "r")"
    let disk = MachineDisk(
      serial: serial, extents: [.init(path: found.path, size: found.size)], readonly: !writable, isDevice: true)
    try await volumeOperations.run {
      if try await running.machine.status().disks.contains(where: { $0.serial == serial }) { return }
      try await running.machine.attach(disk)
    }
    return .with {
      $0.path = Data(device.destination.utf8)
      $0.serial = serial
      $0.permissions = device.permissions.letters
      $0.fileMode = found.mode
      $0.uid = found.uid
      $0.gid = found.gid
    }
  }

  // MARK: - Release

  private var shareEntries: [ShareEntry] {
    held.compactMap { if case .volume(_, let entry) = $0 { entry } else { nil } }
  }

  /// Takes away what the container alone used. What can't be taken away now goes with the pod.
  func releaseVolumes(of container: ContainerID) async {
    do {
      try await uncancelled { [self] in try await releaseUnused(after: container) }
    } catch {
      logger.warning("volumes of a container are kept until its pod ends", metadata: ["error": "\(error)"])
    }
  }

  /// What a daemon that was killed had made for a container that did not come to be.
  func releaseVolumesOfNobody() async {
    do { try await releaseUnused(after: nil) } catch {
      logger.warning("volumes of no container are kept until the pod ends", metadata: ["error": "\(error)"])
    }
  }

  private func releaseUnused(after container: ContainerID?) async throws {
    try await volumeOperations.run {
      if let container { volumeUsers[container] = nil }
      let used = volumeUsers.values.reduce(into: Set<String>()) { $0.formUnion($1) }
      for resource in held {
        guard case .volume(_, let entry) = resource, !used.contains(entry.name) else { continue }
        try await releaseNow(resource)
        writableEntries.remove(entry.name)
      }
    }
  }
}

extension Bulkhead_Agent_V1_Mount {
  fileprivate mutating func setMemory(_ volume: PodVolumes.MemoryVolume) {
    type = "memory"
    source = Data(volume.name.utf8)
    subPath = Data(volume.subPath.utf8)
    memory.sizeBytes = volume.size.bytes
    memory.mode = volume.mode
    memory.uid = volume.uid
    memory.gid = volume.gid
  }
}
