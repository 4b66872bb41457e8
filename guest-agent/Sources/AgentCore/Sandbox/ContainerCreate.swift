import AgentProtocol
import CGuest
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem

extension Pod {
  /// Builds a container up to the gate before its program. On failure nothing of it is left.
  func createContainer(_ request: Bulkhead_Agent_V1_CreateContainerRequest) async throws -> Container {
    try await booted.wait()
    var plan = try ContainerPlan(request, podFiles: try sandboxFiles())
    let project = try reserve(plan.id)
    do {
      let image = try await images.path(of: plan.imageSerial)
      try await volumes.prepare(&plan)
      let target = try await namespaceHolder(plan.pidNamespace)
      let container = try await onDedicatedThread { [self, plan] in
        let scratch = ScratchDirectory(containerID: plan.id)
        return try build(plan, image: image, in: scratch, project: project, target: target)
      }
      publish(container)
      try await discardIfUnwanted(container)
      return container
    } catch {
      release(plan.id)
      throw error
    }
  }

  /// A daemon that was killed meanwhile never learns of the container: nobody would remove it. And a StopSandbox
  /// that came before it was there did not end it.
  private func discardIfUnwanted(_ container: Container) async throws {
    let isStopped = isStopped
    guard isStopped || Task.isCancelled else { return }
    // In a task that is not cancelled.
    try await Task { try await removeContainer(container.id) }.value
    if isStopped { throw Self.stopped }
    throw CancellationError()
  }

  /// The process whose PID namespace the container joins.
  private func namespaceHolder(_ namespace: ContainerPlan.PIDNamespace) async throws -> Birth? {
    switch namespace {
    case .own, .guest: return nil
    case .pod: return try await self.namespace.first()
    case .of(let id): return try container(id).birth
    }
  }

  func build(
    _ plan: ContainerPlan, image: String, in scratch: ScratchDirectory, project: UInt32, target: Birth?
  ) throws -> Container {
    let cgroup = Boot.pod.child(plan.id)
    do {
      try cgroup.create()
      let directory = try prepare(cgroup, plan)
      try scratch.create(project: project)
      let job = try finishedJob(plan, image: image, scratch)

      var request = ForkRequest()
      request.kind = .container
      request.newPIDNamespace = if case .own = plan.pidNamespace { true } else { false }
      request.joins = target != nil
      let streams = try ProcessStreams(stdin: plan.stdin, terminal: job.process.terminal)
      let birth = try processes.make(
        request, job: try job.wireBytes(), streams: streams, cgroup: directory, target: target?.pidfd, gate: true)
      // It is built: what that took is not the container's to wait for.
      for setting in plan.settings where setting.isOfCPUTime { try setting.apply(to: cgroup) }
      let reactor = processes.reactor
      let adopted = try streams.adopt(by: reactor, terminal: birth.terminal, stdin: plan.stdin) {
        try ProcessOutput(reactor: reactor, stdout: $0, stderr: $1)
      }
      return Container(
        id: plan.id, job: job, cgroup: cgroup, project: project, birth: birth, streams: adopted,
        isInputOnce: plan.stdinOnce)
    } catch {
      // The process is given up by closing its socket, or was never made.
      _ = try? cgroup.killAndWait()
      let starved = (try? cgroup.value("memory.events", "oom_kill")).flatMap { $0 } ?? 0 > 0
      try? cgroup.remove()
      scratch.remove()
      guard starved else { throw error }
      throw RPCError(code: .failedPrecondition, message: "its memory limit is too low for it to be made: \(error)")
    }
  }

  private func prepare(_ cgroup: Cgroup, _ plan: ContainerPlan) throws -> Descriptor {
    for setting in plan.settings where !setting.isOfCPUTime { try setting.apply(to: cgroup) }
    try allowHugePages(plan.settings)
    let directory = try cgroup.openDirectory()
    if let rules = plan.devices {
      let number = directory.number
      try systemCall("restrict devices") { guest_cgroup_devices(number, rules, rules.count) }
    }
    return directory
  }

  private func finishedJob(_ plan: ContainerPlan, image: String, _ scratch: ScratchDirectory) throws -> ContainerJob {
    var job = plan.job
    job.root.lower = Array(image.utf8)
    job.root.upper = Array(scratch.upper.utf8)
    job.root.work = Array(scratch.work.utf8)
    job.root.mountPoint = Array(GuestPath.rootMountPoint.utf8)
    if let profile = plan.seccomp {
      let program = try seccomp.compile(profile)
      job.process.seccompProgram = program.bytes
      job.process.seccompFlags = program.flags
    }
    return job
  }
}
