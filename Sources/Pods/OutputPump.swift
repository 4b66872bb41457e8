import AgentProtocol
import Common
import ContainerLog
import Dispatch
import GRPCCore

/// Moves one container's output from its agent into its log file until both streams have ended.
///
/// The agent keeps what is not acknowledged; offsets are acknowledged only once the log has them, so a
/// daemon that is killed loses no line, and the log's own state file says where to go on, so that it
/// doubles none.
struct OutputPump: Sendable {
  let containerID: ContainerID
  let agent: AgentConnection
  /// Nil where no log is kept: the output is read and forgotten.
  let log: ContainerLogWriter?
  /// The attached clients, who see each piece once it is in the log.
  let audience: OutputAudience

  /// Acknowledging costs a call: only every so many bytes, well under the agent's buffer.
  private static let acknowledgeEvery: UInt64 = 64 << 10
  private static let retryPause: Duration = .milliseconds(100)

  private struct Position {
    var stdout: UInt64
    var stderr: UInt64
    var total: UInt64 { stdout &+ stderr }
  }

  /// Returns when both streams have ended, or throws when the agent is gone for good: the container
  /// unknown there, or the task cancelled. A log that can't be written is thrown too.
  func run() async throws {
    while true {
      do {
        try await readToEnd()
        return
      } catch let error as BulkheadError where error.code == .unavailable || error.code == .aborted {
        try await Task.sleep(for: Self.retryPause)
      }
    }
  }

  private func readToEnd() async throws {
    let start = log?.resumeOffsets ?? (stdout: 0, stderr: 0)
    let request = Bulkhead_Agent_V1_ReadOutputRequest.with {
      $0.containerID = containerID.text
      $0.stdoutOffset = start.stdout
      $0.stderrOffset = start.stderr
    }
    try await agent.translating("read the output of container \(containerID.short)") {
      try await agent.api.readOutput(
        request: ClientRequest(message: request, metadata: agent.authentication)
      ) { response in
        try await follow(response.messages, from: Position(stdout: start.stdout, stderr: start.stderr))
      }
    }
  }

  private func follow(
    _ chunks: RPCAsyncSequence<Bulkhead_Agent_V1_OutputChunk, any Error>, from start: Position
  ) async throws {
    var acknowledged = start
    var ended: Set<Bulkhead_Agent_V1_OutputStream> = []
    for try await chunk in chunks {
      let durable = try await store(chunk, acknowledged)
      await audience.deliver(LogStream(chunk.stream), offset: chunk.offset, chunk.data)
      if chunk.end { ended.insert(chunk.stream) }
      if durable.total &- acknowledged.total >= Self.acknowledgeEvery {
        try await acknowledge(durable)
        acknowledged = durable
      }
    }
    guard ended.count == 2 else {
      throw BulkheadError(.unavailable, "the output of container \(containerID.short) broke off")
    }
  }

  private func store(_ chunk: Bulkhead_Agent_V1_OutputChunk, _ before: Position) async throws -> Position {
    guard let log else {
      var position = before
      let end = chunk.offset &+ UInt64(chunk.data.count)
      if chunk.stream == .stdout { position.stdout = end } else { position.stderr = end }
      return position
    }
    let stream = LogStream(chunk.stream)
    let durable = try await writing {
      chunk.end
        ? try log.end(stream: stream)
        : try log.append(stream: stream, offset: chunk.offset, bytes: Array(chunk.data))
    }
    return Position(stdout: durable.stdout, stderr: durable.stderr)
  }

  /// Runs a write to the log, which blocks for as long as the disk does, off the concurrency pool.
  private func writing<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      Self.writers.async { continuation.resume(with: Swift.Result { try body() }) }
    }
  }

  private static let writers = DispatchQueue(label: "bulkhead.container-logs", attributes: .concurrent)

  private func acknowledge(_ position: Position) async throws {
    let request = Bulkhead_Agent_V1_AcknowledgeOutputRequest.with {
      $0.containerID = containerID.text
      $0.stdoutOffset = position.stdout
      $0.stderrOffset = position.stderr
    }
    _ = try await agent.call("acknowledge output of container \(containerID.short)", request) {
      try await $0.acknowledgeOutput(request: $1, options: $2)
    }
  }
}

extension LogStream {
  init(_ stream: Bulkhead_Agent_V1_OutputStream) { self = stream == .stderr ? .stderr : .stdout }
}
