import Common
import FoundationEssentials

/// Exec, attach and port-forward: calls that last as long as their client.
extension PodManager {
  /// Runs a command in a container, joined to `client`, and returns its exit code. When the calling task is
  /// cancelled the process and its children get SIGHUP and, if that does not end them, SIGKILL.
  public func exec(
    container prefix: String, command: [String], terminal: Bool, client: some ProcessClient
  ) async throws -> UInt8 {
    let (pod, id) = try findContainer(prefix)
    let agent = try await pod.agentForExec(id)
    let name = Data((0..<16).map { _ in UInt8.random(in: .min ... .max) })
    let output = try await pod.stream(
      for: .output(name: name), called: "the output of a process in container \(id.short)")
    defer { output.close() }
    return try await ExecSession(
      container: id, command: command, terminal: terminal, client: client, agent: agent, output: output,
      outputName: name
    ).run()
  }

  /// Joins `client` to a running container until that ends, or, where only stdin is wanted, until the input
  /// ends. Returns how it ended; nil while it runs. Where the container's stdin is to be given once, it ends
  /// with the first client that had it.
  public func attach(
    container prefix: String, streams: ProcessStreamSet, client: some ProcessClient
  ) async throws -> ContainerExit? {
    let (pod, id) = try findContainer(prefix)
    return try await pod.attach(id, streams: streams, client: client)
  }

  /// Connects `client` to a port on the pod's own loopback until both have ended. Throws `unavailable` where
  /// nothing listens.
  public func forward(pod prefix: String, port: UInt16, client: some PortClient) async throws {
    guard port > 0 else { throw BulkheadError(.invalidArgument, "port 0 is no port: 1 to 65535 are") }
    let id = try status(pod: prefix).id
    let pod = try pod(id)
    let stream = try await pod.stream(
      for: .port(port), called: "port \(port) of pod \(pod.record.spec.metadata.displayName)")
    try await PortConnection(stream: stream).join(client)
  }
}

extension Pod {
  func attach(
    _ id: ContainerID, streams: ProcessStreamSet, client: some ProcessClient
  ) async throws -> ContainerExit? {
    let agent = try running().agent
    let container = try container(id)
    let listener = container.audience.join(streams)
    defer { container.audience.leave(listener) }
    let state = await container.state
    guard state.isRunning else {
      throw BulkheadError(
        .failedPrecondition, "container \(id.short) is \(state.word): only a running one can be attached to")
    }
    let session = AttachSession(
      container: id, hasInput: await container.hasInput, streams: streams, listener: listener, client: client,
      agent: agent)
    try await session.run()
    guard case .exited(_, _, let exit) = await container.state else { return nil }
    return exit
  }

  func stream(for purpose: GuestStream.Purpose, called what: String) async throws -> GuestStream {
    try await GuestStream(
      running().machine, secret: record.secret, for: purpose, called: what, reactor: services.reactor)
  }
}
