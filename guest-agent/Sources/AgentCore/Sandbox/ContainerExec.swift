import AgentProtocol
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem

extension Pod {
  /// Starts a further process in a running container. Throws `Birth.Failure` if the program can't be run.
  func exec(_ start: Bulkhead_Agent_V1_ExecStart) async throws -> ExecProcess {
    let container = try container(start.containerID)
    guard case .running = container.state else {
      throw RPCError(code: .failedPrecondition, message: "container \(container.id) is not running")
    }
    let plan = try container.job.process.forExec(start)
    return try await onDedicatedThread { [processes] in
      try Self.startExec(plan, in: container, stdin: start.stdin, processes)
    }
  }

  private static func startExec(
    _ plan: ProcessPlan, in container: Container, stdin: Bool, _ processes: ProcessFactory
  ) throws -> ExecProcess {
    var job = ExecJob()
    job.identity = container.birth.identity
    job.process = plan
    let cgroup = container.cgroup.child(container.nextExecName())
    try cgroup.create()
    do {
      var request = ForkRequest()
      request.kind = .exec
      request.joins = true
      let streams = try ProcessStreams(stdin: stdin, terminal: plan.terminal)
      let birth = try processes.make(
        request, job: try job.wireBytes(), streams: streams, cgroup: try cgroup.openDirectory(),
        target: container.birth.pidfd, gate: false)
      let (output, input) = try streams.adopt(by: processes.reactor, terminal: birth.terminal, stdin: stdin)
      return try ExecProcess(birth: birth, cgroup: cgroup, output: output, input: input)
    } catch {
      _ = try? cgroup.killAndWait()
      try? cgroup.remove()
      throw error
    }
  }
}
