import GRPCCore

/// Output that the loop has not yet taken or sent, and the writers that wait until less of it is left.
struct Outbox: Sendable {
  typealias Continuation = CheckedContinuation<Void, any Error>

  private var outputs: [StreamOutput] = []
  /// Bytes of messages that were written and have not gone to the socket.
  private var unsent = 0
  private var waiting: [(id: UInt64, writer: Continuation)] = []
  private var nextID: UInt64 = 0
  private var failure: RPCError?
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  var isFull: Bool { unsent >= limit }
  var hasUnsentMessages: Bool { unsent > 0 }

  mutating func append(_ output: StreamOutput) {
    outputs.append(output)
    if case .message(let bytes) = output { unsent += bytes.count + MessageDeframer.prefixLength }
  }

  mutating func take() -> [StreamOutput] {
    defer { outputs = [] }
    return outputs
  }

  mutating func makeID() -> UInt64 {
    defer { nextID += 1 }
    return nextID
  }

  enum Wait {
    case room
    case failed(RPCError)
    case suspended
  }

  mutating func wait(_ id: UInt64, _ writer: Continuation) -> Wait {
    if let failure { return .failed(failure) }
    guard isFull else { return .room }
    waiting.append((id, writer))
    return .suspended
  }

  mutating func cancelWait(_ id: UInt64) -> Continuation? {
    guard let index = waiting.firstIndex(where: { $0.id == id }) else { return nil }
    return waiting.remove(at: index).writer
  }

  /// `bytes` went to the socket. Returns the writers that can go on, once half of the room is free.
  mutating func sent(_ bytes: Int) -> [Continuation] {
    unsent -= bytes
    guard unsent * 2 <= limit, !waiting.isEmpty else { return [] }
    defer { waiting = [] }
    return waiting.map(\.writer)
  }

  /// Whoever writes from now on gets `error`. Returns the writers that wait, to be failed with it.
  mutating func fail(_ error: RPCError) -> [Continuation] {
    if failure == nil { failure = error }
    defer { waiting = [] }
    return waiting.map(\.writer)
  }

  /// Nothing of what is left will be sent.
  mutating func discard() {
    outputs = []
    unsent = 0
  }
}
