import AgentProtocol
import Common
import FoundationEssentials
import GRPCCore

/// A client joined to a container's first process.
struct AttachSession<Client: ProcessClient>: Sendable {
  let container: ContainerID
  let hasInput: Bool
  let streams: ProcessStreamSet
  let listener: OutputListener
  let client: Client
  let agent: AgentConnection

  /// Returns when the container has ended, or, where only stdin was asked for, the input.
  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await resize() }
      let wantsOutput = !streams.isDisjoint(with: [.stdout, .stderr])
      if wantsOutput {
        group.addTask { try await feed() }
        try await show()
      } else {
        try await untilEither(feed, show)
      }
      group.cancelAll()
      while let result = await group.nextResult() {
        // What the end of the output called off is no failure.
        if case .failure(let error) = result, Task.isCancelled { throw error }
      }
    }
  }

  private func untilEither(
    _ one: @escaping @Sendable () async throws -> Void, _ other: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await one() }
      group.addTask { try await other() }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func show() async throws {
    while let pieces = try await listener.next() {
      for piece in pieces { try await client.write(piece.bytes, to: piece.stream) }
    }
  }

  private func resize() async throws {
    for await size in client.terminalSizes {
      let request = Bulkhead_Agent_V1_ResizeTerminalRequest.with {
        $0.containerID = container.text
        $0.size = .init(size)
      }
      do {
        _ = try await agent.call("resize the terminal of container \(container.short)", request) {
          try await $0.resizeTerminal(request: $1, options: $2)
        }
      } catch let error as BulkheadError where error.code == .failedPrecondition || error.code == .notFound {
        // No terminal, or the container is about to be gone.
      }
    }
  }

  /// To the container's stdin. A container that has none, or reads none any more, is no error: what the client
  /// still types is dropped.
  private func feed() async throws {
    guard let input = client.input else { return }
    if hasInput {
      do {
        try await agent.translating("write to container \(container.short)") {
          try await agent.api.writeInput(
            metadata: agent.authentication,
            requestProducer: { writer in
              try await writer.write(.with { $0.containerID = container.text })
              for try await bytes in input { try await writer.write(.with { $0.data = bytes }) }
            }, onResponse: { _ = try $0.message })
        }
        return
      } catch let error as BulkheadError where error.code == .failedPrecondition || error.code == .notFound {}
    }
    for try await _ in input {}
  }
}
