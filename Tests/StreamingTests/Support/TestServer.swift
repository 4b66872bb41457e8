import Common
import LinuxSystem
import Logging
import Streaming
import Testing

let container = ContainerID.random()
let pod = PodID.random()

/// A server with a backend of this process, for as long as `body` runs.
struct TestServer {
  let server: StreamingServer
  let backend: TestBackend

  static func with(
    _ configure: (inout StreamingConfiguration) -> Void = { _ in }, _ body: (TestServer) async throws -> Void
  ) async throws {
    var configuration = StreamingConfiguration()
    configuration.lingering = .seconds(2)
    configure(&configuration)
    let backend = TestBackend()
    let server = try await StreamingServer.bind(configuration, backend: backend, logger: Logger(label: "test"))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run() }
      do { try await body(TestServer(server: server, backend: backend)) } catch {
        group.cancelAll()
        throw error
      }
      group.cancelAll()
      try await group.waitForAll()
    }
    // Whatever happened to the clients: nothing goes on.
    #expect(backend.running == 0)
  }

  func exec(
    _ command: String..., stdin: Bool = false, stdout: Bool = true, stderr: Bool = false, terminal: Bool = false
  ) throws -> String {
    try server.url(
      for: ExecSessionRequest(
        container: container, command: command,
        streams: .init(stdin: stdin, stdout: stdout, stderr: stderr, terminal: terminal)))
  }

  func portForward(_ ports: UInt16...) throws -> String {
    try server.url(for: PortForwardSessionRequest(pod: pod, ports: ports))
  }
}

/// A client blocks, so it has a thread of its own.
func client<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
  try await onDedicatedThread(body)
}
