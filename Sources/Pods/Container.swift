import AgentProtocol
import Common
import ContainerLog
import GRPCCore
import Logging

/// One container: its record, its log, and the tasks that follow it in the guest. Its lifecycle calls
/// are serial; exec and status go beside them.
actor Container {
  nonisolated let id: ContainerID
  nonisolated let podID: PodID
  nonisolated let name: ContainerName
  let services: NodeServices
  private let logger: Logger
  private var record: ContainerRecord
  let operations = OperationQueue()
  private var log: ContainerLogWriter?
  private var follower: Task<Void, Never>?
  nonisolated let audience = OutputAudience()
  /// Open once the container has exited.
  private let end = Latch()

  init(id: ContainerID, podID: PodID, record: ContainerRecord, services: NodeServices, logger: Logger) {
    self.id = id
    self.podID = podID
    name = ContainerName(name: record.configuration.name, attempt: record.configuration.attempt)
    self.record = record
    self.services = services
    var logger = logger
    logger[metadataKey: "container"] = "\(id.short)"
    self.logger = logger
  }

  var state: ContainerState { record.state }
  var imageID: String { record.imageID }
  var hasInput: Bool { record.configuration.stdin }
  var configuration: ContainerConfiguration { record.configuration }

  private var status: ContainerStatus? {
    guard let image = Digest(record.imageID) else { return nil }
    return ContainerStatus(
      id: id, podID: podID, configuration: record.configuration, state: record.state, createdAt: record.createdAt,
      imageID: image, imageRef: record.imageRef, logPath: record.logPath, user: record.user,
      stopSignal: record.stopSignal)
  }

  /// Makes a container that a former daemon knew visible again.
  func publishRestored() { publish() }

  private func publish() { if let status { services.snapshot.publish(status) } }

  private func save() async throws { try await services.journal.save(id, of: podID, record) }

  // MARK: - Create

  /// Builds the container in the guest, while its image's disk is being plugged in: the agent waits for it.
  /// On error nothing of it is left. Its record is committed once it is there; should the daemon be killed
  /// before, the next one finds a container in the guest that it does not know, and removes it.
  func create(
    _ request: Bulkhead_Agent_V1_CreateContainerRequest, agent: AgentConnection,
    whilePlugging disk: Task<Void, any Error>
  ) async throws {
    do {
      async let plugged: Void = disk.value
      let answer = await answerToCreate(request, agent)
      // First, because the agent knows no more than that no disk came.
      try await plugged
      let response = try answer.get()
      record.user = ResolvedUser(
        uid: response.uid, gid: response.gid, supplementalGroups: Array(response.supplementalGroups.prefix(65536)))
      record.state = .created
      try await save()
      publish()
    } catch {
      try await uncancelled { [self] in
        await discardInGuest(agent)
        // It may have been committed although that failed, or was cancelled.
        try await services.journal.delete(id)
      }
      throw error
    }
  }

  private func answerToCreate(
    _ request: Bulkhead_Agent_V1_CreateContainerRequest, _ agent: AgentConnection
  ) async -> Result<Bulkhead_Agent_V1_CreateContainerResponse, any Error> {
    do {
      return .success(
        try await agent.call(
          "create container \(record.configuration.name)", request, deadline: .seconds(60)
        ) { try await $0.createContainer(request: $1, options: $2) })
    } catch { return .failure(error) }
  }

  private func discardInGuest(_ agent: AgentConnection) async {
    let request = Bulkhead_Agent_V1_RemoveContainerRequest.with { $0.containerID = id.text }
    do {
      _ = try await agent.call("remove container \(id.short)", request) {
        try await $0.removeContainer(request: $1, options: $2)
      }
    } catch let error as BulkheadError where error.code == .notFound {
    } catch {
      logger.warning("the guest keeps a container that failed", metadata: ["error": "\(error)"])
    }
  }

  // MARK: - Start

  func start(agent: AgentConnection) async throws {
    try await operations.run { try await startSerially(agent) }
  }

  private func startSerially(_ agent: AgentConnection) async throws {
    guard record.state == .created else {
      throw BulkheadError(
        .failedPrecondition, "container \(record.configuration.name) can't be started: it is \(record.state.word)")
    }
    try openLog()
    let request = Bulkhead_Agent_V1_StartContainerRequest.with { $0.containerID = id.text }
    do {
      let started = try await agent.call(
        "start container \(record.configuration.name)", request, deadline: .seconds(60)
      ) {
        try await $0.startContainer(request: $1, options: $2)
      }
      record.state = .running(startedAt: now(), pid: started.pid)
    } catch let error as BulkheadError where error.code == .failedPrecondition {
      try await finish(.startError(error.message))
      throw error
    }
    try await uncancelled { [self] in try await save() }
    publish()
    follow(agent)
  }

  private func openLog() throws {
    guard log == nil, !record.logPath.isEmpty else { return }
    log = try ContainerLogWriter(
      path: record.logPath, statePath: "\(services.configuration.podDirectory(podID))/\(id).log-state",
      maximumLine: services.configuration.logLineMaximum)
  }

  // MARK: - Follow

  /// Takes up a container that a former daemon started.
  func resume(agent: AgentConnection) {
    do { try openLog() } catch {
      logger.error("cannot go on with the container's log", metadata: ["error": "\(error)"])
    }
    follow(agent)
  }

  private func follow(_ agent: AgentConnection) {
    let pump = OutputPump(containerID: id, agent: agent, log: log, audience: audience)
    follower = Task { [self] in
      let output = Task {
        do { try await pump.run() } catch is CancellationError {} catch {
          logger.error("the container's output can't be read", metadata: ["error": "\(error)"])
        }
      }
      let exit = await waitForExit(agent)
      if let exit {
        audience.hurry()
        await bounded(.seconds(10)) { await output.value }
        output.cancel()
        await exited(exit)
      } else {
        output.cancel()
      }
      await output.value
    }
  }

  /// The container's exit; nil where the task was cancelled because the VM is gone.
  private func waitForExit(_ agent: AgentConnection) async -> ContainerExit? {
    let request = Bulkhead_Agent_V1_WaitContainerRequest.with { $0.containerID = id.text }
    while !Task.isCancelled {
      do {
        let exit = try await agent.translating("wait for container \(id.short)") {
          try await agent.api.waitContainer(
            request: ClientRequest(message: request, metadata: agent.authentication)
          ) { try $0.message.exit }
        }
        if !exit.startError.isEmpty { return .startError(printable(exit.startError, limit: 1024)) }
        return .ended(code: Int32(min(exit.code, 255)), oomKilled: exit.oomKilled)
      } catch let error as BulkheadError where error.code == .notFound {
        return ContainerExit(code: 255, reason: "Error", message: "the guest no longer knows the container")
      } catch {
        try? await Task.sleep(for: .milliseconds(200))
      }
    }
    return nil
  }

  private func exited(_ exit: ContainerExit) async {
    do { try await finish(exit) } catch {
      logger.error("cannot record the container's end", metadata: ["error": "\(error)"])
    }
  }

  /// The one way into the state exited. Does nothing if it is there already.
  private func finish(_ exit: ContainerExit) async throws {
    let startedAt: Int64?
    switch record.state {
    case .exited: return
    case .creating, .created: startedAt = nil
    case .running(let time, _): startedAt = time
    }
    record.state = .exited(startedAt: startedAt, finishedAt: now(), exit: exit)
    log?.close()
    log = nil
    publish()
    end.open()
    audience.end()
    logger.info("container exited", metadata: ["code": "\(exit.code)", "reason": "\(exit.reason)"])
    try await uncancelled { [self] in try await save() }
  }

  /// The VM went away: what ran has been killed with it.
  func machineGone(_ why: String) async {
    follower?.cancel()
    follower = nil
    guard !record.state.isExited else { return }
    await exited(.machineGone(why))
  }

  /// What a daemon that restarted learns from the guest about a container that was running or made.
  func reconcile(with summary: Bulkhead_Agent_V1_ContainerSummary?, agent: AgentConnection) async {
    switch (record.state, summary?.state) {
    case (.exited, _): return
    case (_, nil):
      await exited(ContainerExit(code: 255, reason: "Error", message: "the guest no longer knows the container"))
    case (.running, _): resume(agent: agent)
    case (_, .created?): return
    case (_, let found?):
      guard let summary else { return }
      if found == .exited, !summary.exit.startError.isEmpty {
        return await exited(.startError(printable(summary.exit.startError, limit: 1024)))
      }
      record.state = .running(startedAt: summary.startedNanoseconds, pid: summary.pid)
      resume(agent: agent)
    }
    publish()
  }

  // MARK: - Stop

  /// Sends the stop signal, waits `grace`, then kills the whole cgroup. Succeeds if the container has
  /// ended already; one that was never started counts as ended without having run.
  func stop(grace: Duration, agent: AgentConnection) async throws {
    try await operations.run { try await stopSerially(grace, agent) }
  }

  private func stopSerially(_ grace: Duration, _ agent: AgentConnection) async throws {
    switch record.state {
    case .exited: return
    case .creating, .created:
      await discardInGuest(agent)
      return try await finish(ContainerExit(code: 137, reason: "Error", message: "stopped before it was started"))
    case .running: break
    }
    if grace > .zero {
      try await signal(UInt32(record.stopSignal), all: false, agent)
      await waitUntilExited(limit: grace)
    }
    if record.state.isExited { return }
    try await kill(agent)
  }

  private func kill(_ agent: AgentConnection) async throws {
    try await signal(9, all: true, agent)
    await waitUntilExited(limit: .seconds(20))
    guard record.state.isExited else {
      throw BulkheadError(
        .deadlineExceeded,
        "container \(record.configuration.name) was killed but its end is not reported; `bulkheadctl console \(podID.short)` may say why"
      )
    }
  }

  private func signal(_ number: UInt32, all: Bool, _ agent: AgentConnection) async throws {
    let request = Bulkhead_Agent_V1_SignalContainerRequest.with {
      $0.containerID = id.text
      $0.signal = number
      $0.all = all
    }
    _ = try await agent.call("signal container \(record.configuration.name)", request) {
      try await $0.signalContainer(request: $1, options: $2)
    }
  }

  /// Returns when the container has exited or `limit` has passed.
  private func waitUntilExited(limit: Duration) async {
    await bounded(limit) { [end] in await end.wait() }
  }

  // MARK: - Remove

  /// Kills it if it runs, removes it from the guest (where there still is one) and forgets it.
  func remove(agent: AgentConnection?) async throws {
    try await operations.run {
      if let agent {
        if record.state.isRunning { try await kill(agent) }
        await discardInGuest(agent)
      }
      follower?.cancel()
      log?.close()
      log = nil
      try await services.journal.delete(id)
      unlinkLogState()
      services.snapshot.remove(id)
    }
  }

  private func unlinkLogState() {
    removeFile("\(services.configuration.podDirectory(podID))/\(id).log-state")
  }

  /// Makes limits that the guest has applied known, here and to the next daemon.
  func keep(_ resources: ContainerResources) async throws {
    record.configuration.resources = resources
    publish()
    try await save()
  }

  // MARK: - Log

  /// The log file was rotated away: goes on in a new one at the same path (CRI ReopenContainerLog).
  func reopenLog() throws {
    guard record.state.isRunning else {
      throw BulkheadError(
        .failedPrecondition,
        "container \(record.configuration.name) is \(record.state.word): its log is not being written")
    }
    try log?.reopen()
  }
}

extension ContainerState {
  /// For messages.
  var word: String {
    switch self {
    case .creating: "being created"
    case .created: "created"
    case .running: "running"
    case .exited: "exited"
    }
  }
}

/// What a container is called in its pod; one at a time may be.
struct ContainerName: Hashable, Sendable {
  var name: String
  var attempt: UInt32
}
