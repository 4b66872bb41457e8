import CRI
import Common
import GRPCCore
import Pods
import Streaming

/// Exec, Attach and PortForward: each is checked here and answered with a URL at which the streaming server
/// does it, once.
extension RuntimeService {
  public func exec(
    request: Runtime_V1_ExecRequest, context: ServerContext
  ) async throws -> Runtime_V1_ExecResponse {
    guard let program = request.cmd.first, !program.isEmpty else { throw Validation.invalid("cmd", "is empty") }
    let url = try streaming.url(
      for: ExecSessionRequest(
        container: try running(request.containerID), command: try Validation.noNUL(request.cmd, "cmd"),
        streams: StandardStreams(
          stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.tty)))
    return .with { $0.url = url }
  }

  public func attach(
    request: Runtime_V1_AttachRequest, context: ServerContext
  ) async throws -> Runtime_V1_AttachResponse {
    let url = try streaming.url(
      for: AttachSessionRequest(
        container: try running(request.containerID),
        streams: StandardStreams(
          stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.tty)))
    return .with { $0.url = url }
  }

  public func portForward(
    request: Runtime_V1_PortForwardRequest, context: ServerContext
  ) async throws -> Runtime_V1_PortForwardResponse {
    let pod = try pods.status(pod: request.podSandboxID)
    guard pod.state == .ready else {
      throw BulkheadError(.failedPrecondition, "pod sandbox \(pod.id.short) is not ready")
    }
    let ports = try request.port.map { (port) throws(BulkheadError) in try Validation.port(port, "port") }
    let url = try streaming.url(for: PortForwardSessionRequest(pod: pod.id, ports: ports))
    return .with { $0.url = url }
  }

  private func running(_ id: String) throws -> ContainerID {
    let container = try pods.status(container: id)
    guard container.state.isRunning else {
      throw BulkheadError(.failedPrecondition, "container \(container.id.short) is not running")
    }
    return container.id
  }
}
