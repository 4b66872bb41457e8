import AgentProtocol
import Common
import FoundationEssentials
import HostCgroup
import Hypervisor
import Images
import LinuxSystem
import Logging
import PodNetwork
import PodVolumes

/// One pod: its virtual machine, its connection to the agent, its containers. Run, stop and remove are
/// serial; calls to containers run beside them and fail once the machine is gone.
actor Pod {
  nonisolated let id: PodID
  let services: NodeServices
  let logger: Logger
  var record: PodRecord
  var life: Life
  var containers: [ContainerID: Container] = [:]
  /// Of containers that are being made and may not be in `containers` yet.
  var claimedNames: Set<ContainerName> = []
  private(set) var resources: [PodResource]
  /// As the agent named itself when it first answered.
  var agentVersion = ""
  /// Images whose files must stay while the pod has its machine.
  var usedImages: Set<Digest> = []
  /// Hot-plugged image disks by image, joined by whoever needs the same one.
  var disks: [Digest: PluggedDisk] = [:]
  /// The serials of those that a former daemon plugged in.
  var inheritedDisks: Set<String> = []
  /// The call for stats that is under way, and what came of those before.
  /// By whether they ask for details.
  var questions: [Bool: UsageQuestion] = [:]
  var history = UsageHistory()
  let operations = OperationQueue()
  /// Volumes are made and released one at a time (Pod+Volumes.swift).
  let volumeOperations = OperationQueue()
  /// Names of the share's entries that containers use.
  var volumeUsers: [ContainerID: Set<String>] = [:]
  /// Entries that are known not to be read-only on the host.
  var writableEntries: Set<String> = []
  /// Whether this daemon has seen to it that the machine has the share.
  var sharePlugged = false

  /// What a pod has depends on where it is in its life.
  enum Life {
    case starting
    case ready(Running)
    case stopped
  }

  struct Running {
    let machine: any VirtualMachine
    let agent: AgentConnection
    let watcher: Task<Void, Never>
    let stats: StatsStream
  }

  /// A disk that the machine has once `plugging` has ended.
  struct PluggedDisk {
    let serial: String
    let plugging: Task<Void, any Error>
  }

  init(id: PodID, record: PodRecord, resources: [PodResource], services: NodeServices) {
    self.id = id
    self.record = record
    self.resources = resources
    self.services = services
    var logger = services.logger
    logger[metadataKey: "pod"] = "\(record.spec.metadata.displayName)"
    logger[metadataKey: "sandbox"] = "\(id.short)"
    self.logger = logger
    life = record.state == .stopped ? .stopped : .starting
  }

  nonisolated func publish(_ record: PodRecord) {
    services.snapshot.publish(
      PodStatus(
        id: id, spec: record.spec, state: record.state, reason: record.reason, createdAt: record.createdAt,
        phases: record.phases, vcpus: record.vcpus, memory: ByteCount(bytes: record.memoryBytes), uid: record.uid,
        networkNamespace: services.configuration.networkNamespace(id), addresses: record.addresses ?? []))
  }

  func running() throws(BulkheadError) -> Running {
    if case .ready(let running) = life { return running }
    let why = record.reason.isEmpty ? "" : ": \(record.reason)"
    throw BulkheadError(.failedPrecondition, "pod \(record.spec.metadata.displayName) is not running\(why)")
  }

  /// Whether nothing outside the daemon remains of it.
  var holdsNothing: Bool { resources.isEmpty }

  // MARK: - Run

  /// Starts the virtual machine and makes it this pod's. On error everything is released and the
  /// pod's record is gone, or it `isLeftOver`.
  func run() async throws {
    let clock = PhaseClock()
    do {
      try await services.journal.begin(id, record, resources: resources)
      publish(record)
      let (booted, network) = try await start(clock)
      do { try await settle(booted, network, clock) } catch {
        await booted.agent.close()
        throw error
      }
    } catch {
      let reason = await describe(error)
      logger.error("the pod could not be started", metadata: ["error": "\(reason)"])
      do {
        try await uncancelled { [self] in try await operations.run { try await abandon("\(reason)") } }
      } catch {
        throw BulkheadError(
          reason.code, "\(reason); it stays, not ready, until what it has left can be released: remove it (\(error))")
      }
      throw reason
    }
  }

  func machineDescription(cards: Int) -> MachineDescription {
    let configuration = services.configuration
    let scratch = MachineDisk(
      serial: Self.scratchSerial,
      extents: [.init(path: configuration.scratchDisk(id), size: configuration.scratchSize)], readonly: false)
    return MachineDescription(
      id: id, displayName: record.spec.metadata.displayName, vcpus: record.vcpus,
      memory: ByteCount(bytes: record.memoryBytes), uid: record.uid, gid: record.uid,
      networkNamespace: configuration.networkNamespace(id), secret: record.secret, disks: [scratch],
      interfaces: machineInterfaces(cards))
  }

  private static let scratchSerial = "scratch"

  private func settle(_ booted: Booted, _ network: PodNetworkSetup, _ clock: PhaseClock) async throws {
    agentVersion = printable(booted.health.agentVersion, limit: 64)
    let request = sandboxRequest(network)
    // The guest is still coming up: what its boot may take is the measure.
    let limit = max(.seconds(30), services.configuration.bootTimeout)
    try await stoppingEarly(booted.machine) {
      _ = try await clock.measure("create sandbox") {
        try await booted.agent.call("set up the guest", request, deadline: limit) {
          try await $0.createSandbox(request: $1, options: $2)
        }
      }
    }
    try Task.checkCancellation()
    record.state = .ready
    record.phases = await clock.phases
    record.addresses = network.addresses
    try await services.journal.update(id, record)
    adopt(booted.machine, booted.agent)
    logger.info(
      "pod ready", metadata: ["phases": "\(record.phases.map { "\($0.name) \($0.durationMicroseconds / 1000) ms" })"])
  }

  /// Runs `body`, but gives up at once when the machine stops meanwhile.
  nonisolated func stoppingEarly<Result: Sendable>(
    _ machine: any VirtualMachine, _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
      group.addTask { try await body() }
      group.addTask {
        guard let exit = await machine.waitUntilStopped() else { throw CancellationError() }
        throw BulkheadError(.internalError, "its virtual machine stopped while booting: \(exit.explanation)")
      }
      defer { group.cancelAll() }
      guard let result = try await group.next() else { throw CancellationError() }
      return result
    }
  }

  private func note(_ health: Bulkhead_Agent_V1_HealthResponse) {
    agentVersion = printable(health.agentVersion, limit: 64)
  }

  private func sandboxRequest(_ network: PodNetworkSetup) -> Bulkhead_Agent_V1_CreateSandboxRequest {
    let spec = record.spec
    return .with {
      $0.hostname = spec.hostname
      if let resolvConf = spec.resolvConf { $0.resolvConf = Data(resolvConf.utf8) }
      $0.realtimeNanoseconds = now()
      $0.sysctls = network.sysctls.merging(spec.sysctls) { $1 }
      $0.interfaces = networkInterfaces(network)
      $0.scratchSerial = Self.scratchSerial
    }
  }

  private func adopt(_ machine: any VirtualMachine, _ agent: AgentConnection) {
    let watcher = Task { [self] in
      if let exit = await machine.waitUntilStopped(), !Task.isCancelled { await machineStopped(exit) }
    }
    let stats = StatsStream { [record, services] limit in
      try await GuestStream(
        machine, secret: record.secret, for: .stats, called: "stats of pod \(record.spec.metadata.displayName)",
        reactor: services.reactor, within: limit)
    }
    life = .ready(Running(machine: machine, agent: agent, watcher: watcher, stats: stats))
    publish(record)
  }

  /// `error` with what people need to find its reason: the pod's name and the end of the console.
  private func describe(_ error: any Error) async -> BulkheadError {
    var described = BulkheadError.wrapping(error, "cannot start the pod")
    described.message = "pod \(record.spec.metadata.displayName): \(described.message)"
    return described
  }

  /// Takes back a pod that did not start, `why` says. If something of it can't be released it is shown as not
  /// ready from then on, as containerd does: the kubelet removes such pods, and so has the release tried again.
  private func abandon(_ why: String) async throws {
    life = .stopped
    do { try await releaseResources() } catch {
      record.reason = "it did not start: \(why)"
      var shown = record
      shown.state = .stopped
      publish(shown)
      throw error
    }
    services.snapshot.remove(id)
    try await services.journal.delete(id)
  }

  /// Whether it is only here because not all that its failed start had made could be released.
  var isLeftOver: Bool {
    if case .stopped = life { record.state == .starting } else { false }
  }

  // MARK: - Resources

  var held: [PodResource] { resources }

  func holds(_ resource: PodResource) -> Bool { resources.contains(resource) }

  /// Records what the pod is about to get. Throws `failedPrecondition` once it is not running.
  func acquire(_ new: [PodResource]) async throws {
    _ = try running()
    resources += new
    try await services.journal.add(new, to: id)
  }

  func releaseNow(_ resource: PodResource) async throws {
    try await release(resource)
    try await services.journal.released(resource, of: id)
    resources.removeAll { $0 == resource }
  }

  /// Releases what the pod still has, last made first. What can't be released stays recorded and is
  /// tried again by the next Stop, Remove or start of the daemon; the first error is thrown.
  private func releaseResources() async throws {
    var first: (any Error)?
    for resource in resources.reversed() {
      do {
        try await release(resource)
        try await services.journal.released(resource, of: id)
        resources.removeAll { $0 == resource }
      } catch {
        logger.error("cannot release", metadata: ["resource": "\(resource)", "error": "\(error)"])
        if first == nil { first = error }
      }
    }
    for image in usedImages { try await services.images.release(image, by: id.text) }
    usedImages = []
    if let first { throw BulkheadError.wrapping(first, "cannot clean up pod \(record.spec.metadata.displayName)") }
  }

  private func release(_ resource: PodResource) async throws {
    switch resource {
    case .machine: try await services.hypervisor.release(id)
    case .scratchDisk(let path): try services.scratch.delete(at: path)
    case .networkNamespace(let path): try await NetworkNamespace.delete(at: path)
    case .cgroup(let path): try await onDedicatedThread { try PodCgroup(path).remove() }
    case .networkAttachments(let path): try await services.network.detach(record: path)
    case .runDirectory(let path): try removeFlatDirectory(path)
    case .share(let path): try await onDedicatedThread { try ShareDirectory(path: path).remove() }
    case .volume(let share, let entry):
      try await onDedicatedThread { try ShareDirectory(path: share).remove(entry.name) }
    }
  }

  // MARK: - Stop and remove

  func stop() async throws {
    try await operations.run { try await stopSerially() }
  }

  private func stopSerially() async throws {
    if case .ready(let running) = life { try await powerOff(running, containersKilled: "the pod was stopped") }
    if !resources.isEmpty { try await uncancelled { [self] in try await releaseResources() } }
  }

  private func powerOff(_ running: Running, containersKilled why: String) async throws {
    running.watcher.cancel()
    giveUpQuestions()
    await endContainers(running.agent)
    record.state = .stopped
    life = .stopped
    publish(record)
    try await uncancelled { [self] in
      for container in await containers.values { await container.machineGone(why) }
      await running.agent.close()
      try await services.journal.update(id, await record)
      try await running.machine.destroy()
    }
  }

  /// Kills what still runs so that its last output reaches the log; a guest that does not answer
  /// loses it.
  private func endContainers(_ agent: AgentConnection) async {
    var alive: [Container] = []
    for container in containers.values where await container.state.isRunning { alive.append(container) }
    guard !alive.isEmpty else { return }
    await bounded(.seconds(3)) { [alive] in
      await withTaskGroup(of: Void.self) { group in
        for container in alive { group.addTask { try? await container.stop(grace: .zero, agent: agent) } }
      }
    }
  }

  /// The machine ended though nobody asked.
  private func machineStopped(_ exit: MachineExit) async {
    guard case .ready(let running) = life else { return }
    record.state = .stopped
    record.reason = "its virtual machine stopped: \(exit.explanation)"
    life = .stopped
    publish(record)
    logger.error("the pod's virtual machine stopped", metadata: ["why": "\(exit.explanation)"])
    giveUpQuestions()
    for container in containers.values { await container.machineGone(record.reason) }
    await running.agent.close()
    do {
      try await services.journal.update(id, record)
      try await operations.run { try await releaseResources() }
    } catch { logger.error("cannot clean up after the machine", metadata: ["error": "\(error)"]) }
  }

  /// Stops the pod if it runs and forgets it and its containers.
  func remove() async throws {
    try await operations.run {
      try await stopSerially()
      try await uncancelled { [self] in
        for container in await containers.values { try await container.remove(agent: nil) }
        try await services.journal.delete(id)
        services.snapshot.remove(id)
      }
    }
    containers = [:]
  }

  // MARK: - Recovery

  /// Takes up what a former daemon left of this pod: adopts a machine that runs and answers, and
  /// otherwise releases everything. False where nothing of the pod remains to be known.
  func recover(containers saved: [ContainerID: ContainerRecord]) async throws -> Bool {
    if record.state == .starting {
      try await abandon("the daemon ended meanwhile")
      return false
    }
    for (id, saved) in saved { await restore(id, saved) }
    guard record.state == .ready else {
      publish(record)
      try await releaseResources()
      return true
    }
    do { try await readopt() } catch {
      record.state = .stopped
      record.reason = "it was lost while the daemon was not running: \(error)"
      life = .stopped
      publish(record)
      for container in containers.values { await container.machineGone(record.reason) }
      try await services.journal.update(id, record)
      try await releaseResources()
    }
    return true
  }

  private func restore(_ id: ContainerID, _ saved: ContainerRecord) async {
    let container = Container(id: id, podID: self.id, record: saved, services: services, logger: logger)
    containers[id] = container
    await container.publishRestored()
    if let image = Digest(saved.imageID), record.state == .ready { use(image) }
    volumeUsers[id] = saved.shareEntries
  }

  private func use(_ image: Digest) {
    do {
      try services.images.retain(image, by: id.text)
      usedImages.insert(image)
    } catch { logger.error("an image that the pod uses is gone", metadata: ["error": "\(error)"]) }
  }

  private func readopt() async throws {
    guard let machine = try await services.hypervisor.find(id) else {
      throw BulkheadError(.unavailable, "its virtual machine no longer runs")
    }
    let agent = AgentConnection(machine: machine, secret: record.secret, podName: record.spec.metadata.displayName)
    do {
      note(try await agent.waitUntilServing(limit: .seconds(10)))
      inheritedDisks = Set(try await machine.status().disks.map(\.serial))
      let known = try await agent.call("list the containers", Bulkhead_Agent_V1_ListContainersRequest()) {
        try await $0.listContainers(request: $1, options: $2)
      }
      adopt(machine, agent)
      await checkNetwork()
      await reconcile(known.containers, agent)
    } catch {
      await agent.close()
      throw error
    }
  }

  private func reconcile(_ known: [Bulkhead_Agent_V1_ContainerSummary], _ agent: AgentConnection) async {
    let summaries = Dictionary(known.map { ($0.containerID, $0) }, uniquingKeysWith: { first, _ in first })
    for (id, container) in containers {
      await container.reconcile(with: summaries[id.text], agent: agent)
    }
    await discardUnknown(known, agent)
  }

  /// Removes containers that no record names: those that were made while the former daemon died, whose rows were
  /// not committed yet and of which nobody was told, and debugging processes.
  private func discardUnknown(_ known: [Bulkhead_Agent_V1_ContainerSummary], _ agent: AgentConnection) async {
    for summary in known where ContainerID(summary.containerID).flatMap({ containers[$0] }) == nil {
      let request = Bulkhead_Agent_V1_RemoveContainerRequest.with { $0.containerID = summary.containerID }
      do {
        _ = try await agent.call("remove a half-made container", request) {
          try await $0.removeContainer(request: $1, options: $2)
        }
      } catch { logger.warning("cannot remove a half-made container", metadata: ["error": "\(error)"]) }
    }
    await releaseVolumesOfNobody()
  }
}

extension MachineExit {
  /// For people.
  var explanation: String {
    switch self {
    case .destroyed: "it was destroyed"
    case .guestShutdown: "the guest powered off"
    case .guestPanicked: "the guest's kernel panicked"
    case .processDied: "its QEMU process ended"
    case .shareServerDied: "virtiofsd, which serves its volumes, ended"
    }
  }
}
