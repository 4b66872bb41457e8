import AgentProtocol
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem

extension Pod {
  /// Runs `body` with a further process in a running container, and ends the process if `body` throws. Throws
  /// `Birth.Failure` if the program can't be run.
  func withExec<Result>(
    _ start: Bulkhead_Agent_V1_ExecStart, _ body: (ExecProcess) async throws -> Result
  ) async throws -> Result {
    let container = try container(start.containerID)
    guard case .running = container.state else {
      throw RPCError(code: .failedPrecondition, message: "container \(container.id) is not running")
    }
    let plan = try container.job.process.forExec(start)
    let name = container.nextExecName()
    let process = try await onDedicatedThread { [processes] in
      try Self.startExec(plan, in: container, name: name, stdin: start.stdin, processes)
    }
    defer { if !process.close() { container.keepExec(name) } }
    do {
      return try await body(process)
    } catch {
      // A task of its own, which whatever cancelled this one does not end.
      await Task { await process.hangUp() }.value
      throw error
    }
  }

  private static func startExec(
    _ plan: ProcessPlan, in container: Container, name: String, stdin: Bool, _ processes: ProcessFactory
  ) throws -> ExecProcess {
    var job = ExecJob()
    job.identity = container.birth.identity
    job.process = plan
    container.sweepExecs()
    let cgroup = container.cgroup.child(name)
    try cgroup.create()
    do {
      var request = ForkRequest()
      request.kind = .exec
      request.joins = true
      let streams = try ProcessStreams(stdin: stdin, terminal: plan.terminal)
      let birth = try processes.make(
        request, job: try job.wireBytes(), streams: streams, cgroup: try cgroup.openDirectory(),
        target: container.birth.pidfd, gate: false)
      let reactor = processes.reactor
      let adopted = try streams.adopt(by: reactor, terminal: birth.terminal, stdin: stdin) { stdout, stderr in
        ExecProcess.Output(
          stdout: try AsyncDescriptor(owning: stdout, reactor: reactor),
          stderr: stderr < 0 ? nil : try AsyncDescriptor(owning: stderr, reactor: reactor))
      }
      return ExecProcess(birth: birth, cgroup: cgroup, streams: adopted)
    } catch {
      _ = try? cgroup.killAndWait()
      try? cgroup.remove()
      throw error
    }
  }
}
