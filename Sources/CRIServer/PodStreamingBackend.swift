import Common
import ContainerLog
import FoundationEssentials
import Pods
import Streaming

/// The streaming server's sessions, carried out by the pods.
public struct PodStreamingBackend: StreamingBackend {
  private let pods: PodManager

  public init(pods: PodManager) { self.pods = pods }

  public func exec(_ request: ExecSessionRequest, _ streams: any ProcessStreams) async throws -> ProcessEnd {
    let code = try await pods.exec(
      container: request.container.text, command: request.command, terminal: request.streams.terminal,
      client: StreamedProcess(streams))
    return .exited(code: code)
  }

  public func attach(_ request: AttachSessionRequest, _ streams: any ProcessStreams) async throws {
    var wanted: ProcessStreamSet = []
    if request.streams.stdin { wanted.insert(.stdin) }
    if request.streams.stdout { wanted.insert(.stdout) }
    if request.streams.stderr { wanted.insert(.stderr) }
    _ = try await pods.attach(
      container: request.container.text, streams: wanted, client: StreamedProcess(streams))
  }

  public func portForward(pod: PodID, port: UInt16, _ connection: any ByteChannel) async throws {
    try await pods.forward(pod: pod.text, port: port, client: StreamedPort(channel: connection))
  }
}

/// A client of the streaming server, as the pods know clients.
private struct StreamedProcess: ProcessClient {
  let streams: any ProcessStreams
  let terminalSizes: AsyncStream<TerminalDimensions>

  init(_ streams: any ProcessStreams) {
    self.streams = streams
    // Pulls one size for each that is asked for, so that the newest stays the newest. Its iterator is used by
    // the one task that reads `terminalSizes`.
    nonisolated(unsafe) var sizes = streams.resizes.makeAsyncIterator()
    terminalSizes = AsyncStream {
      await sizes.next().map { TerminalDimensions(columns: $0.columns, rows: $0.rows) }
    }
  }

  var input: ClientInput? { streams.stdin }

  func write(_ bytes: Data, to stream: LogStream) async throws {
    switch stream {
    case .stdout: try await streams.write(stdout: bytes)
    case .stderr: try await streams.write(stderr: bytes)
    }
  }
}

private struct StreamedPort: PortClient {
  let channel: any ByteChannel

  var input: ClientInput { channel.input }
  func write(_ bytes: Data) async throws { try await channel.write(bytes) }
  func closeOutput() async throws { try await channel.closeOutput() }
}
