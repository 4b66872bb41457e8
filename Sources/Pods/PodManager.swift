import Common
import HostCgroup
import Hypervisor
import Images
import LinuxSystem
import Logging
import PodNetwork

/// The pods of this node: the core that the CRI server and the operator's service call.
///
/// Reads are answered from a snapshot at once. Mutations are passed to the pod they are for; pods don't
/// wait for each other. Ids may be given as unique prefixes. Stop and Remove of what is unknown succeed,
/// as the CRI wants.
public actor PodManager {
  let services: NodeServices
  var pods: [PodID: Pod] = [:]
  private var names: [PodSpec.Metadata: PodID] = [:]
  private var uids: [UInt32: PodID] = [:]

  /// Opens the state database and makes the directories. Nothing is recovered yet: `recover`.
  public init(
    configuration: PodsConfiguration, hypervisor: any Hypervisor, images: ImageStore, network: NodeNetwork,
    logger: Logger
  ) throws {
    for (path, mode) in [
      (configuration.stateDirectory, 0o711), ("\(configuration.stateDirectory)/scratch", 0o711),
      ("\(configuration.stateDirectory)/networks", 0o700),
      (configuration.runDirectory, 0o711), ("\(configuration.runDirectory)/pods", 0o700),
      ("\(configuration.runDirectory)/netns", 0o700), ("\(configuration.runDirectory)/shares", 0o700),
    ] as [(String, UInt32)] {
      try makeDirectories(path, mode: mode)
    }
    services = NodeServices(
      configuration: configuration, hypervisor: hypervisor, images: images, logger: logger,
      journal: try Journal(path: "\(configuration.stateDirectory)/state.db"), snapshot: SnapshotStore(),
      scratch: ScratchDisks(
        directory: "\(configuration.stateDirectory)/scratch", size: configuration.scratchSize),
      network: network, reactor: try Reactor.started())
  }

  /// Takes up what a former daemon left: pods that run are adopted, everything else is released. Returns
  /// when that is done; call it once, before serving.
  public func recover() async throws {
    let saved = try await services.journal.load()
    await withTaskGroup(of: (PodID, Pod, PodRecord, Bool).self) { group in
      for entry in saved {
        let pod = Pod(id: entry.id, record: entry.record, resources: entry.resources, services: services)
        uids[entry.record.uid] = entry.id
        group.addTask { [services] in
          do {
            return (entry.id, pod, entry.record, try await pod.recover(containers: entry.containers))
          } catch {
            services.logger.error(
              "a pod could not be recovered whole; what remains is tried again when it is removed",
              metadata: ["pod": "\(entry.record.spec.metadata.displayName)", "error": "\(error)"])
            return (entry.id, pod, entry.record, true)
          }
        }
      }
      for await (id, pod, record, remains) in group { keep(pod, id, record, remains) }
    }
    try await services.images.finishRecovery()
    try await releaseStrangers()
    await collectNetworkGarbage()
    _ = try await services.scratch.templatePath()
  }

  private func keep(_ pod: Pod, _ id: PodID, _ record: PodRecord, _ remains: Bool) {
    guard remains else {
      uids[record.uid] = nil
      return
    }
    pods[id] = pod
    names[record.spec.metadata] = id
  }

  /// Machines that run under this daemon's name but that the journal does not know: a state database
  /// that was moved away. Nobody can reach them any more.
  private func releaseStrangers() async throws {
    for id in try await services.hypervisor.running() where pods[id] == nil {
      services.logger.warning("releasing a virtual machine that no pod owns", metadata: ["sandbox": "\(id.short)"])
      try await services.hypervisor.release(id)
    }
  }

  private func collectNetworkGarbage() async {
    let known = pods.keys.map(services.configuration.attachments)
    for complaint in await services.network.collectGarbage(except: known) {
      services.logger.warning("CNI garbage collection failed", metadata: ["error": "\(complaint)"])
    }
  }

  // MARK: - Pods

  /// Starts a pod. Throws `alreadyExists` while another pod has the same metadata, and `failedPrecondition` while
  /// what a failed start has left of that other pod can't be released.
  public func run(_ spec: PodSpec) async throws -> PodID {
    try await finishFailedStart(of: spec.metadata)
    if let other = names[spec.metadata] {
      throw BulkheadError(
        .alreadyExists,
        "pod \(spec.metadata.displayName) (uid \(spec.metadata.uid), attempt \(spec.metadata.attempt)) exists already: \(other.short); remove it first"
      )
    }
    let id = PodID.random()
    let configuration = services.configuration
    var resources: [PodResource] = [
      .runDirectory(path: configuration.podDirectory(id)),
      .networkNamespace(path: configuration.networkNamespace(id)),
      .networkAttachments(path: configuration.attachments(id)),
      .scratchDisk(path: configuration.scratchDisk(id)),
    ]
    if !spec.cgroupParent.isEmpty {
      resources.append(.cgroup(path: try CgroupPath(parent: spec.cgroupParent, pod: id)))
    }
    resources.append(.machine)
    let record = try newRecord(spec, id)
    let pod = Pod(id: id, record: record, resources: resources, services: services)
    names[spec.metadata] = id
    pods[id] = pod
    do { try await pod.run() } catch {
      if await pod.holdsNothing { forget(id, record) }
      throw error
    }
    return id
  }

  /// A pod that never was has no claim on its name, once nothing is left of it.
  private func finishFailedStart(of metadata: PodSpec.Metadata) async throws {
    guard let id = names[metadata], let other = pods[id], await other.isLeftOver else { return }
    do { try await remove(other) } catch {
      throw BulkheadError(
        .failedPrecondition,
        "pod \(metadata.displayName) did not start before, and what is left of it (\(id.short)) can't be released",
        cause: error)
    }
  }

  private func newRecord(_ spec: PodSpec, _ id: PodID) throws -> PodRecord {
    let uid = try takeUID(for: id)
    var secret = SystemRandomNumberGenerator()
    let size = MachineSize(spec.resources, services.configuration)
    return PodRecord(
      spec: spec, state: .starting, reason: "", createdAt: now(), phases: [], vcpus: size.vcpus,
      memoryBytes: size.memory.bytes, uid: uid,
      secret: hexString((0..<16).map { _ in UInt8.random(in: 0...255, using: &secret) }))
  }

  private func takeUID(for id: PodID) throws -> UInt32 {
    let first = services.configuration.firstUID
    for uid in first..<(first &+ services.configuration.uidCount) where uids[uid] == nil {
      uids[uid] = id
      return uid
    }
    throw BulkheadError(
      .resourceExhausted, "all \(services.configuration.uidCount) user ids for VMs are taken; raise vm.uid_count")
  }

  /// Only once: its name and user id may be another pod's since.
  private func forget(_ id: PodID, _ record: PodRecord) {
    guard pods.removeValue(forKey: id) != nil else { return }
    names[record.spec.metadata] = nil
    uids[record.uid] = nil
  }

  public func stop(pod prefix: String) async throws {
    guard let pod = try findPod(prefix) else { return }
    try await pod.stop()
  }

  public func remove(pod prefix: String) async throws {
    guard let pod = try findPod(prefix) else { return }
    try await remove(pod)
  }

  private func remove(_ pod: Pod) async throws {
    try await pod.remove()
    forget(pod.id, await pod.record)
  }

  /// Nil for an id that nothing has; throws for one that fits several.
  private func findPod(_ prefix: String) throws(BulkheadError) -> Pod? {
    do { return pods[try resolve(prefix, in: pods, what: "pod sandbox")] } catch {
      if error.code == .notFound { return nil }
      throw error
    }
  }

  func pod(_ id: PodID) throws(BulkheadError) -> Pod {
    guard let pod = pods[id] else { throw BulkheadError(.notFound, "no pod sandbox with id \(id)") }
    return pod
  }

  // MARK: - Containers

  public func createContainer(inPod prefix: String, _ configuration: ContainerConfiguration) async throws -> ContainerID
  {
    guard let pod = try findPod(prefix) else {
      throw BulkheadError(.notFound, "no pod sandbox with id \(printable(prefix, limit: 64))")
    }
    guard let image = services.images.image(configuration.image) else {
      throw BulkheadError(
        .notFound,
        "image \(printable(configuration.image)) is not on this node: pull it first (PullImage, or `bulkheadctl image pull`)"
      )
    }
    return try await pod.createContainer(configuration, image: image)
  }

  public func start(container prefix: String) async throws {
    let (pod, id) = try findContainer(prefix)
    try await pod.startContainer(id)
  }

  public func stop(container prefix: String, grace: Duration) async throws {
    guard let (pod, id) = try knownContainer(prefix) else { return }
    try await pod.stopContainer(id, grace: grace)
  }

  public func remove(container prefix: String) async throws {
    guard let (pod, id) = try knownContainer(prefix) else { return }
    try await pod.removeContainer(id)
  }

  public func reopenLog(container prefix: String) async throws {
    let (pod, id) = try findContainer(prefix)
    try await pod.reopenLog(id)
  }

  /// Runs a process in a container to its end. See `ExecResult` for the bounds.
  public func exec(container prefix: String, command: [String], timeout: Duration?) async throws -> ExecResult {
    let (pod, id) = try findContainer(prefix)
    let agent = try await pod.agentForExec(id)
    return try await execute(command, in: id, agent: agent, timeout: timeout)
  }

  func findContainer(_ prefix: String) throws(BulkheadError) -> (Pod, ContainerID) {
    let containers = services.snapshot.current.containers
    let id = try resolve(prefix, in: containers, what: "container")
    guard let podID = containers[id]?.podID else {
      throw BulkheadError(.notFound, "no container with id \(id)")
    }
    return (try pod(podID), id)
  }

  private func knownContainer(_ prefix: String) throws(BulkheadError) -> (Pod, ContainerID)? {
    do { return try findContainer(prefix) } catch {
      if error.code == .notFound { return nil }
      throw error
    }
  }

  /// New limits for a container: what `changes` does not name stays.
  public func update(container prefix: String, _ changes: ContainerResourceChanges) async throws {
    let (pod, id) = try findContainer(prefix)
    try await pod.updateContainer(id, changes)
  }

  /// New limits for a pod. Throws `invalidArgument` for what its virtual machine is too small for.
  public func update(pod prefix: String, _ resources: PodResources) async throws {
    guard let pod = try findPod(prefix) else {
      throw BulkheadError(.notFound, "no pod sandbox with id \(printable(prefix, limit: 64))")
    }
    try await pod.update(resources)
  }

  // MARK: - Reads

  /// What happens to pods and containers from now on.
  public nonisolated func subscribe() -> EventSubscription { services.snapshot.events.subscribe() }

  /// Ends what would otherwise keep calls open while the daemon ends.
  public nonisolated func prepareToClose() { services.snapshot.events.close() }

  public nonisolated var podStatuses: [PodStatus] { Array(services.snapshot.current.pods.values) }
  public nonisolated var containerStatuses: [ContainerStatus] { Array(services.snapshot.current.containers.values) }

  public nonisolated func status(pod prefix: String) throws(BulkheadError) -> PodStatus {
    let pods = services.snapshot.current.pods
    let id = try resolve(prefix, in: pods, what: "pod sandbox")
    guard let status = pods[id] else { throw BulkheadError(.notFound, "no pod sandbox with id \(id)") }
    return status
  }

  public nonisolated func status(container prefix: String) throws(BulkheadError) -> ContainerStatus {
    let containers = services.snapshot.current.containers
    let id = try resolve(prefix, in: containers, what: "container")
    guard let status = containers[id] else { throw BulkheadError(.notFound, "no container with id \(id)") }
    return status
  }

  public func inspect(pod prefix: String) async throws -> PodInspection {
    let id = try status(pod: prefix).id
    return await (try pod(id)).inspect()
  }
}
