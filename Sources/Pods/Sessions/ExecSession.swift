import AgentProtocol
import Common
import ContainerLog
import FoundationEssentials
import GRPCCore

/// A further process in a container, joined to a client until it ends.
struct ExecSession<Client: ProcessClient>: Sendable {
  let container: ContainerID
  let command: [String]
  let terminal: Bool
  let client: Client
  let agent: AgentConnection
  /// Carries the process's stdout, under this name.
  let output: GuestStream
  let outputName: Data

  /// The process's exit code. A program that can't be started has 126 or 127 as in a shell, and the client
  /// reads why on stderr. Throws where nothing could be run, or nobody knows how it ended.
  func run() async throws -> UInt8 {
    let doing = "run \(printable(command.first ?? "", limit: 80)) in container \(container.short)"
    return try await agent.translating(doing) {
      try await agent.api.exec(
        metadata: agent.authentication, requestProducer: { try await feed($0) },
        onResponse: { response in
          guard let code = try await follow(response.messages) else {
            throw BulkheadError(.unavailable, "cannot \(doing): the agent did not say how it ended")
          }
          return code
        })
    }
  }

  /// Until the process has ended and its output has been told. The exit code; nil where the agent says none.
  private func follow(_ messages: RPCAsyncSequence<Bulkhead_Agent_V1_ExecResponse, any Error>) async throws -> UInt8? {
    try await withThrowingTaskGroup(of: UInt8?.self) { group in
      group.addTask {
        while let bytes = try await output.read() { try await client.write(bytes, to: .stdout) }
        return nil
      }
      group.addTask {
        for try await message in messages {
          if let code = try await take(message) { return code }
        }
        return nil
      }
      var code: UInt8?
      while let result = try await group.next() { code = code ?? result }
      return code
    }
  }

  private func feed(_ writer: RPCWriter<Bulkhead_Agent_V1_ExecRequest>) async throws {
    try await writer.write(
      .with {
        $0.start = .with {
          $0.containerID = container.text
          $0.args = command.map { Data($0.utf8) }
          $0.terminal = terminal
          $0.stdin = client.input != nil
          $0.stdoutStream = outputName
        }
      })
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for await size in client.terminalSizes { try await writer.write(.with { $0.resize = .init(size) }) }
      }
      group.addTask {
        guard let input = client.input else { return }
        for try await bytes in input { try await writer.write(.with { $0.stdin = bytes }) }
        try await writer.write(.with { $0.stdinEnd = true })
      }
      try await group.waitForAll()
    }
  }

  /// The exit code, with the last message.
  private func take(_ message: Bulkhead_Agent_V1_ExecResponse) async throws -> UInt8? {
    switch message.kind {
    case .stdout(let bytes): try await client.write(bytes, to: .stdout)
    case .stderr(let bytes): try await client.write(bytes, to: .stderr)
    case .exit(let exit):
      if !exit.startError.isEmpty {
        // A terminal's output is all stdout, and has no lines of its own accord.
        let text = Data("\(printable(exit.startError, limit: 1024))\(terminal ? "\r\n" : "\n")".utf8)
        try await client.write(text, to: terminal ? .stdout : .stderr)
      }
      return UInt8(clamping: exit.code)
    case .started, nil: break
    }
    return nil
  }
}

extension Bulkhead_Agent_V1_TerminalSize {
  init(_ size: TerminalDimensions) {
    self.init()
    width = UInt32(size.columns)
    height = UInt32(size.rows)
  }
}
