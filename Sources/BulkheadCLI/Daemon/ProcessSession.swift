import Common
import Foundation
import GRPCCore
import OperatorAPI

/// One Exec, Attach or Debug call: this process's standard streams joined to those of a process in a pod.
struct ProcessSession: Sendable {
  typealias Request = Bulkhead_Operator_V1_ProcessRequest
  typealias Response = Bulkhead_Operator_V1_ProcessResponse
  typealias Call =
    @Sendable (
      _ producer: @escaping @Sendable (RPCWriter<Request>) async throws -> Void,
      _ onResponse: @escaping @Sendable (StreamingClientResponse<Response>) async throws -> End
    ) async throws -> End

  enum End: Sendable {
    case exited(code: Int32, message: String)
    /// The user left by the detach keys.
    case detached
  }

  let start: Request
  let stdin: Bool
  /// Whether ctrl-p ctrl-q leaves the process alone.
  let detachable: Bool
  let context: CommandContext

  /// Told by the daemon first: whether the process has a terminal, so that ours is to be raw.
  private let isTerminal: AsyncStream<Bool>
  private let started: AsyncStream<Bool>.Continuation
  private let hasDetached: AsyncStream<Void>
  private let detach: AsyncStream<Void>.Continuation

  init(start: Request, stdin: Bool, detachable: Bool, context: CommandContext) {
    self.start = start
    self.stdin = stdin
    self.detachable = detachable
    self.context = context
    (isTerminal, started) = AsyncStream.makeStream()
    (hasDetached, detach) = AsyncStream.makeStream()
  }

  /// Runs the call to its end.
  func run(_ call: @escaping Call) async throws -> End {
    defer { RawTerminal.restore() }
    return try await withThrowingTaskGroup(of: End?.self) { group in
      group.addTask { try await call({ try await feed($0) }, { try await show($0) }) }
      group.addTask {
        for await _ in hasDetached { return .detached }
        return nil
      }
      defer { group.cancelAll() }
      while let end = try await group.next() {
        if let end { return end }
      }
      throw CancellationError()
    }
  }

  private func feed(_ writer: RPCWriter<Request>) async throws {
    try await writer.write(start)
    var terminal = false
    for await answer in isTerminal {
      terminal = answer
      break
    }
    try await withThrowingTaskGroup(of: Void.self) { [terminal] group in
      if terminal {
        if stdin { RawTerminal.enter(context.input) }
        group.addTask {
          for await size in WindowSizes.follow(context.input) {
            try await writer.write(.with { $0.resize = .with { ($0.columns, $0.rows) = (size.columns, size.rows) } })
          }
        }
      }
      if stdin { group.addTask { try await type(writer, detachable && terminal) } }
      try await group.waitForAll()
    }
  }

  private func type(_ writer: RPCWriter<Request>, _ detachable: Bool) async throws {
    let input = try StandardInput(context.input)
    var keys = DetachKeys()
    while let bytes = try await input.read() {
      let (passed, isDetached) = detachable ? keys.feed(bytes) : (bytes, false)
      if !passed.isEmpty { try await writer.write(.with { $0.stdin = Data(passed) }) }
      if isDetached { detach.yield() }
    }
    try Task.checkCancellation()
    try await writer.write(.with { $0.stdinEnd = true })
  }

  private func show(_ response: StreamingClientResponse<Response>) async throws -> End {
    for try await message in response.messages {
      switch message.kind {
      case .stdout(let bytes): try context.output.write(Array(bytes))
      case .stderr(let bytes): try context.output.writeError(Array(bytes))
      case .exit(let exit): return .exited(code: exit.code, message: exit.message)
      case .started(let answer): started.yield(answer.terminal)
      case nil: break
      }
    }
    throw CommandFailure("the daemon did not say how the process ended")
  }
}

extension ProcessSession.End {
  /// Ends the command as the process ended.
  func finish() throws {
    guard case .exited(let code, _) = self, code != 0 else { return }
    throw ProgramExit(code: code & 0xff)
  }
}
