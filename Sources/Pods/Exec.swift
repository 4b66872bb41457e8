import AgentProtocol
import Common
import FoundationEssentials
import GRPCCore

/// What a process run by ExecSync wrote and how it ended.
public struct ExecResult: Sendable {
  /// At most `maximumOutput` bytes of each stream; what comes after is dropped.
  public var stdout: [UInt8] = []
  public var stderr: [UInt8] = []
  public var exitCode: Int32 = 0

  /// 16 MiB, as the CRI's clients expect.
  public static let maximumOutput = 16 << 20
}

/// Runs `command` in a container until it ends. With a timeout the process and all its children are
/// killed when it passes, and `deadlineExceeded` is thrown; they are killed too when the calling task
/// is cancelled.
func execute(
  _ command: [String], in id: ContainerID, agent: AgentConnection, timeout: Duration?
) async throws -> ExecResult {
  let start = Bulkhead_Agent_V1_ExecRequest.with {
    $0.start = .with {
      $0.containerID = id.text
      $0.args = command.map { Data($0.utf8) }
      if let timeout { $0.timeoutMilliseconds = UInt64(max(timeout.components.seconds, 0)) &* 1000 }
    }
  }
  var options = CallOptions.defaults
  // The agent's own timeout is the one that counts; this one is for an agent that hangs.
  options.timeout = timeout.map { $0 + .seconds(10) }
  return try await agent.translating("run \(printable(command.first ?? "", limit: 80)) in container \(id.short)") {
    try await agent.api.exec(
      metadata: agent.authentication, options: options,
      requestProducer: { try await $0.write(start) },
      onResponse: { response in
        var result = ExecResult()
        for try await message in response.messages { try result.take(message, timeout) }
        return result
      })
  }
}

extension ExecResult {
  fileprivate mutating func take(_ message: Bulkhead_Agent_V1_ExecResponse, _ timeout: Duration?) throws {
    switch message.kind {
    case .stdout(let data): stdout.append(contentsOf: data.prefix(Self.maximumOutput - stdout.count))
    case .stderr(let data): stderr.append(contentsOf: data.prefix(Self.maximumOutput - stderr.count))
    case .exit(let exit):
      if exit.timedOut {
        throw BulkheadError(.deadlineExceeded, "the command did not end within \(timeout ?? .zero) and was killed")
      }
      if !exit.startError.isEmpty {
        throw BulkheadError(.failedPrecondition, "the command could not be started: \(printable(exit.startError))")
      }
      exitCode = Int32(min(exit.code, 255))
    case .started, nil: break
    }
  }
}
