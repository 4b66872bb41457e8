import AgentProtocol
import Common
import Hypervisor
import Images

/// The containers of a pod: what the CRI's container calls do once the pod is found.
extension Pod {
  /// CreateContainer: hot-plugs the image if the machine hasn't got it, and builds the container.
  func createContainer(_ configuration: ContainerConfiguration, image: ImageRecord) async throws -> ContainerID {
    let running = try running()
    let configuration = try await resolved(configuration)
    let profile = try await localhostSeccomp(configuration)
    let name = try claimName(configuration)
    defer { claimedNames.remove(name) }
    let builder = ContainerSpecBuilder(
      pod: record.spec, configuration: configuration, image: image.config,
      pidsLimit: services.configuration.pidsLimit,
      rlimits: services.configuration.rlimits.map { .init(type: $0.type, soft: $0.soft, hard: $0.hard) },
      localhostSeccomp: profile)
    let id = ContainerID.random()
    var spec = try builder.build()
    var saved = try newRecord(configuration, image)
    do {
      let volumes = try await prepareVolumes(of: id, configuration, running)
      spec.mounts += volumes.mounts
      spec.linux.devices += volumes.devices
      saved.shareEntries = volumes.entries
    } catch {
      await releaseVolumes(of: id)
      throw error
    }
    let container = Container(id: id, podID: self.id, record: saved, services: services, logger: logger)
    containers[id] = container
    do {
      let disk = try imageDisk(image.id, on: running.machine)
      let request = Bulkhead_Agent_V1_CreateContainerRequest.with {
        $0.containerID = id.text
        $0.imageSerial = disk.serial
        $0.spec = spec
      }
      try await container.create(request, agent: running.agent, whilePlugging: disk.plugging)
    } catch {
      containers[id] = nil
      await releaseVolumes(of: id)
      throw error
    }
    return id
  }

  /// The container's name, which another that is being made can't have until it is given back. Throws
  /// `alreadyExists`.
  private func claimName(_ configuration: ContainerConfiguration) throws(BulkheadError) -> ContainerName {
    let name = ContainerName(name: configuration.name, attempt: configuration.attempt)
    let taken = containers.values.first { $0.name == name }
    guard taken == nil, claimedNames.insert(name).inserted else {
      throw BulkheadError(
        .alreadyExists,
        "pod \(record.spec.metadata.displayName) has container \(name.name), attempt \(name.attempt), already\(taken.map { ": \($0.id.short)" } ?? "")"
      )
    }
    return name
  }

  private func newRecord(_ configuration: ContainerConfiguration, _ image: ImageRecord) throws -> ContainerRecord {
    let path: String
    if configuration.logPath.isEmpty || record.spec.logDirectory.isEmpty {
      path = ""
    } else {
      path = "\(record.spec.logDirectory)/\(configuration.logPath)"
    }
    return ContainerRecord(
      configuration: configuration, state: .creating, createdAt: now(), imageID: image.id.description,
      imageRef: image.repoDigests.first ?? image.id.description, logPath: path,
      user: ResolvedUser(uid: 0, gid: 0, supplementalGroups: []),
      stopSignal: try configuration.stopSignal ?? LinuxSignal.number(named: image.config.stopSignal))
  }

  /// The image's disk: plugged in already, or being plugged in by the task.
  func imageDisk(_ image: Digest, on machine: any VirtualMachine) throws -> PluggedDisk {
    if let disk = disks[image] { return disk }
    try services.images.retain(image, by: id.text)
    usedImages.insert(image)
    let layout = try services.images.disk(for: image)
    let disk = MachineDisk(
      serial: layout.serial, extents: layout.extents.map { .init(path: $0.path, size: $0.size) }, readonly: true)
    let plugging = Task { [self, inherited = inheritedDisks.contains(disk.serial)] in
      if inherited { return }
      do { try await machine.attach(disk) } catch {
        disks[image] = nil
        throw error
      }
    }
    let plugged = PluggedDisk(serial: disk.serial, plugging: plugging)
    disks[image] = plugged
    return plugged
  }

  func startContainer(_ id: ContainerID) async throws {
    let agent = try running().agent
    try await container(id).start(agent: agent)
  }

  func stopContainer(_ id: ContainerID, grace: Duration) async throws {
    guard let container = containers[id] else { return }
    guard case .ready(let running) = life else { return }
    try await container.stop(grace: grace, agent: running.agent)
  }

  func removeContainer(_ id: ContainerID) async throws {
    guard let container = containers[id] else { return }
    var agent: AgentConnection?
    if case .ready(let running) = life { agent = running.agent }
    try await container.remove(agent: agent)
    containers[id] = nil
    await releaseVolumes(of: id)
  }

  func reopenLog(_ id: ContainerID) async throws { try await container(id).reopenLog() }

  func agentForExec(_ id: ContainerID) async throws -> AgentConnection {
    let agent = try running().agent
    let state = try await container(id).state
    guard state.isRunning else {
      throw BulkheadError(
        .failedPrecondition, "container \(id.short) is \(state.word): a process can be run only in a running one")
    }
    return agent
  }

  func container(_ id: ContainerID) throws(BulkheadError) -> Container {
    guard let container = containers[id] else { throw BulkheadError(.notFound, "no container \(id.short)") }
    return container
  }

  // MARK: - For people

  /// The machine as the host sees it, and the guest as it sees itself or why it can't be asked.
  func inspect() async -> PodInspection {
    guard case .ready(let running) = life else {
      return PodInspection(machine: nil, guest: nil, guestError: "the pod is not running")
    }
    let machine = try? await running.machine.status()
    do {
      let guest = try await running.agent.call(
        "ask the guest", Bulkhead_Agent_V1_GuestInfoRequest(), deadline: .seconds(2)
      ) {
        try await $0.guestInfo(request: $1, options: $2)
      }
      return PodInspection(machine: machine, guest: GuestReport(guest, agentVersion: agentVersion), guestError: "")
    } catch { return PodInspection(machine: machine, guest: nil, guestError: "\(error)") }
  }
}
