import GRPCCore
import Synchronization

/// How a stream reaches the loop that its connection lives on. Any thread may call it.
protocol StreamLink<Machine>: Sendable {
  associatedtype Machine: StreamMachine
  /// Asks the loop to call `takeWork` soon.
  func wake(_ stream: GRPCStream<Machine>)
}

/// One RPC between the tasks that read and write it and the loop that moves its bytes: the state
/// machine and the bounded buffers, under one lock that nobody holds while doing anything else.
final class GRPCStream<Machine: StreamMachine>: Sendable {
  /// What the loop has to do for a stream.
  struct Work: Sendable {
    var outputs: [StreamOutput]
    /// Window to give back to the peer.
    var credit: Int
    var reset: Bool
  }

  /// The stream's number in its connection: the connection's, not HTTP/2's.
  let key: UInt64
  private let state: Mutex<StreamState<Machine>>
  private let link: any StreamLink<Machine>
  private let creditThreshold: Int

  init(key: UInt64, machine: Machine, limits: HTTP2Limits, link: some StreamLink<Machine>) {
    self.key = key
    self.link = link
    self.creditThreshold = Int(limits.streamWindow) / 4
    self.state = Mutex(StreamState(machine: machine, outbox: Outbox(limit: limits.sendBufferSize)))
  }

  /// Changes the state, then does what must not be done under the lock.
  private func change<Result: Sendable>(
    _ body: (inout StreamState<Machine>, inout StreamEffects<Machine.InboundPart>) throws -> Result
  ) rethrows -> Result {
    var effects = StreamEffects<Machine.InboundPart>()
    defer { effects.perform(waking: { link.wake(self) }) }
    return try state.withLock { state in
      defer {
        if effects.wake {
          effects.wake = !state.wakePending
          state.wakePending = true
        }
      }
      return try body(&state, &effects)
    }
  }
}

// MARK: - The tasks' side

extension GRPCStream {
  /// The next part; nil at the end. Throws what ended the RPC, or `cancelled` when the task is.
  func next() async throws -> Machine.InboundPart? {
    if let known = change({ state, effects in pop(&state, &effects) }) { return try known.get() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let known: Result<Machine.InboundPart?, any Error>? = change { state, effects in
          if let known = pop(&state, &effects) { return known }
          if Task.isCancelled { return .failure(RPCError.taskCancelled) }
          return state.inbox.wait(continuation) ? nil : .failure(RPCError.secondReader)
        }
        if let known { continuation.resume(with: known) }
      }
    } onCancel: {
      change { state, effects in effects.reader = state.inbox.takeReader(.failure(RPCError.taskCancelled)) }
    }
  }

  private func pop(_ state: inout StreamState<Machine>, _ effects: inout StreamEffects<Machine.InboundPart>)
    -> Result<Machine.InboundPart?, any Error>?
  {
    let part = state.inbox.pop()
    // Small debts wait. With what nghttp2 keeps back itself (half of the window), a quarter of it always
    // stays open to the peer.
    if state.inbox.credit >= creditThreshold { effects.wake = true }
    return part
  }

  /// Accepts the part, then waits while too much is unsent.
  func write(_ part: Machine.OutboundPart) async throws {
    let isFull = try change { state, effects in
      state.outbox.append(try state.machine.send(part))
      effects.wake = true
      return state.outbox.isFull
    }
    if isFull { try await waitForRoom() }
  }

  private func waitForRoom() async throws {
    let id = change { state, _ in state.outbox.makeID() }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: Outbox.Continuation) in
        let wait = change { state, _ in
          Task.isCancelled ? .failed(.taskCancelled) : state.outbox.wait(id, continuation)
        }
        switch wait {
        case .room: continuation.resume()
        case .failed(let error): continuation.resume(throwing: error)
        case .suspended: break
        }
      }
    } onCancel: {
      change { state, _ in state.outbox.cancelWait(id) }?.resume(throwing: RPCError.taskCancelled)
    }
  }

  /// Nothing more will be written.
  func finishWriting() {
    change { state, effects in
      guard let output = state.machine.finishSending() else { return }
      state.outbox.append(output)
      effects.wake = true
    }
  }

  /// The RPC is over for our side, whatever its state: the peer gets a reset unless it is complete.
  func abandon(_ error: RPCError) {
    change { state, effects in
      guard state.machine.abandon() else { return }
      _ = state.apply(.fail(error), cost: 0, &effects)
    }
  }

  /// Calls `body` once if the RPC fails; at once if it has.
  func onFailure(_ body: @escaping @Sendable (RPCError) -> Void) {
    let failure = change { state, _ in
      if state.failure == nil { state.onFailure = body }
      return state.failure
    }
    if let failure { body(failure) }
  }
}

// MARK: - The loop's side

extension GRPCStream {
  func takeWork() -> Work {
    change { state, _ in
      state.wakePending = false
      defer { state.reset = false }
      return Work(outputs: state.outbox.take(), credit: state.inbox.takeCredit(), reset: state.reset)
    }
  }

  /// Makes `part` the first to be read.
  func deliver(_ part: Machine.InboundPart) {
    change { state, effects in _ = state.apply(.deliver(part), cost: 0, &effects) }
  }

  func received(headers: [HeaderField], endStream: Bool) {
    change { state, effects in
      _ = state.apply(state.machine.receive(headers: headers, endStream: endStream), cost: 0, &effects)
    }
  }

  /// Returns what can be given back to the peer at once.
  func received(data: UnsafeRawBufferPointer) -> Int {
    change { state, effects in
      state.inbox.received(bytes: data.count)
      var rest = data
      var more = true
      while more {
        let reaction = state.machine.receive(chunk: &rest)
        var cost = 0
        if case .deliver(let part) = reaction { cost = Machine.cost(of: part) }
        more = state.apply(reaction, cost: cost, &effects)
      }
      state.inbox.settle()
      return state.inbox.takeCredit()
    }
  }

  func receivedEnd() {
    change { state, effects in _ = state.apply(state.machine.receiveEnd(), cost: 0, &effects) }
  }

  /// HTTP/2 has closed the stream.
  func closed(code: UInt32) {
    change { state, effects in
      _ = state.apply(state.machine.receiveClose(code: code), cost: 0, &effects)
      state.failWriters(.ended, &effects)
    }
  }

  func connectionLost(_ reason: String) {
    change { state, effects in
      _ = state.apply(state.machine.connectionLost(reason), cost: 0, &effects)
      state.failWriters(.ended, &effects)
    }
  }

  func deadlinePassed() {
    change { state, effects in
      let reaction = state.machine.deadlinePassed(canAnswer: !state.outbox.hasUnsentMessages)
      _ = state.apply(reaction, cost: 0, &effects)
    }
  }

  func sent(bytes: Int) {
    change { state, effects in effects.writers = state.outbox.sent(bytes) }
  }
}

extension RPCError {
  static let ended = RPCError(code: .cancelled, message: "the RPC has already ended")
  static let headersTooLarge = RPCError(
    code: .resourceExhausted, message: "the peer's header list is larger than allowed")
  static let taskCancelled = RPCError(code: .cancelled, message: "the task that runs the RPC was cancelled")
  static let secondReader = RPCError(code: .internalError, message: "two tasks read from one RPC at the same time")
}
