import GRPCCore

/// What a change of a stream's state leads to, collected under the lock and done after it.
struct StreamEffects<Part: Sendable> {
  var reader: Inbox<Part>.Wakeup?
  var writers: [Outbox.Continuation] = []
  var writerError: RPCError?
  var failed: (@Sendable () -> Void)?
  var wake = false

  func perform(waking: () -> Void) {
    reader?()
    for writer in writers {
      if let writerError { writer.resume(throwing: writerError) } else { writer.resume() }
    }
    failed?()
    if wake { waking() }
  }
}

/// What a stream's lock protects.
struct StreamState<Machine: StreamMachine>: Sendable {
  var machine: Machine
  var inbox = Inbox<Machine.InboundPart>()
  var outbox: Outbox
  var reset = false
  var wakePending = false
  /// Called once, when the RPC ends other than by its own status.
  var onFailure: (@Sendable (RPCError) -> Void)?
  private(set) var failure: RPCError?

  init(machine: Machine, outbox: Outbox) {
    self.machine = machine
    self.outbox = outbox
  }

  /// Applies a reaction, and says whether more of the same input may follow.
  mutating func apply(
    _ reaction: StreamReaction<Machine.InboundPart>, cost: Int, _ effects: inout StreamEffects<Machine.InboundPart>
  ) -> Bool {
    switch reaction {
    case .nothing:
      return false
    case .deliver(let part):
      if let reader = inbox.push(part, cost: cost) { effects.reader = reader }
      return true
    case .deliverLast(let part):
      var reader = part.flatMap { inbox.push($0, cost: cost) }
      if let finished = inbox.finish() { reader = finished }
      if let reader { effects.reader = reader }
      return false
    case .fail(let error):
      reset = true
      outbox.discard()
      end(error, &effects)
      return false
    case .refuse(let error, let answer):
      end(error, &effects)
      outbox.append(answer)
      return false
    }
  }

  private mutating func end(_ error: RPCError, _ effects: inout StreamEffects<Machine.InboundPart>) {
    if let reader = inbox.fail(error) { effects.reader = reader }
    failWriters(error, &effects)
    effects.wake = true
    failure = error
    if let onFailure { effects.failed = { onFailure(error) } }
    onFailure = nil
  }

  mutating func failWriters(_ error: RPCError, _ effects: inout StreamEffects<Machine.InboundPart>) {
    effects.writers += outbox.fail(error)
    if effects.writerError == nil { effects.writerError = error }
  }
}
