import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem

/// The volumes of the pod, each made when a container first mounts it, and kept as long as the VM: who mounts
/// it later finds what others left in it.
actor Volumes {
  private let disks: any DiskSource
  private let images: ImageMounts
  /// By where they are.
  private var made: [String: Task<String, any Error>] = [:]
  private var sharing: Task<Void, any Error>?
  /// Names of the share's entries that containers have mounted.
  private var shared: Set<String> = []
  private var followed: [String: FollowedVolume] = [:]
  private var following: Task<Void, Never>?

  init(disks: any DiskSource, images: ImageMounts) {
    self.disks = disks
    self.images = images
  }

  /// Makes what the container needs, and tells `plan` what was found of it.
  func prepare(_ plan: inout ContainerPlan) async throws {
    try await forgetEntriesThatAreGone()
    for volume in plan.volumes {
      let place = try await self.path(of: volume)
      if place == volume.path { continue }
      for index in plan.job.mounts.indices where plan.job.mounts[index].source == Array(volume.path.utf8) {
        plan.job.mounts[index].source = Array(place.utf8)
      }
    }
    for disk in plan.disks {
      let (device, rule) = try await onDedicatedThread { [disks] in
        try disk.found(at: try disks.device(serial: disk.serial))
      }
      plan.job.devices.insert(device, at: 0)
      plan.devices?.append(rule)
    }
  }

  private func path(of volume: VolumeSource) async throws -> String {
    switch volume {
    case .image(let serial): return try await images.path(of: serial)
    case .share(let name):
      try await mountShare()
      try await enter(name)
      return volume.path
    case .followed(let name):
      return try await once(volume.path) { [self] in
        try await mountShare()
        try await enter(name)
        return try await follow(name)
      }
    case .memory(_, let plan, let subPath):
      let path = try await once(volume.path) {
        try await onDedicatedThread { try makeMemory(plan, at: volume.path) }
        return volume.path
      }
      try await onDedicatedThread { try makeSubPath(subPath, of: path, plan) }
      return path
    }
  }

  /// What `body` made for this key, whoever called it first. Not kept if it failed.
  private func once(
    _ key: String, _ body: @escaping @Sendable () async throws -> String
  ) async throws -> String {
    let making = made[key] ?? Task { try await body() }
    made[key] = making
    do {
      return try await making.value
    } catch {
      made[key] = nil
      throw error
    }
  }

  private func mountShare() async throws {
    let mounting =
      sharing
      ?? Task { [disks] in
        try await onDedicatedThread {
          try makeDirectories(GuestPath.share)
          try disks.mountShare(tag: "bulkhead", on: GuestPath.share)
        }
      }
    sharing = mounting
    do {
      try await mounting.value
    } catch {
      sharing = nil
      throw error
    }
  }

  /// Has the kernel mount the entry, which is a file system of its own, here and once: containers, whose mount
  /// namespaces are copies of this one, then have the same files, and with them the same sockets and pages.
  private func enter(_ name: String) async throws {
    try await onDedicatedThread {
      let entry = open("\(GuestPath.share)/\(name)", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      if entry >= 0 { close(entry) }
    }
    shared.insert(name)
  }

  /// The daemon takes away what no container has mounted any more. Looking for it makes the kernel let go of
  /// what it still knows, and virtiofsd with it.
  private func forgetEntriesThatAreGone() async throws {
    let gone = try await onDedicatedThread { [shared] in
      shared.filter { access("\(GuestPath.share)/\($0)", F_OK) != 0 }
    }
    shared.subtract(gone)
  }

  // MARK: - Following

  /// Where the copy is, or the entry itself where it can't be copied.
  private func follow(_ name: String) async throws -> String {
    let source = VolumeSource.share(name: name).path
    let volume = FollowedVolume(source: source, copy: VolumeSource.followed(name: name).path)
    do {
      try await onDedicatedThread { try volume.make() }
    } catch {
      log("volume \(name) is not followed, updates of it don't reach inotify: \(error)")
      return source
    }
    followed[name] = volume
    if following == nil { following = Task { await followAll() } }
    return volume.copy
  }

  private func followAll() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: .seconds(1))
      let gone = try? await onDedicatedThread { [followed] in
        followed.filter { !$0.value.update() }.map { entry in
          entry.value.discard()
          return entry.key
        }
      }
      for name in gone ?? [] {
        followed[name] = nil
        made[VolumeSource.followed(name: name).path] = nil
      }
    }
  }
}
