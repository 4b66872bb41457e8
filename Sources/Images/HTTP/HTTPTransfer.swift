import Synchronization

/// One answer on its way from the thread that receives it to the task that reads it. The thread never waits: what it
/// can't put down here it leaves in the connection until there is room.
final class HTTPTransfer: Sendable {
  private struct State {
    var head: HTTPHead?
    var body: [UInt8] = []
    /// The thread has stopped receiving, for want of room.
    var isPaused = false
    var end: Result<Void, any Error>?
    /// Something has changed since the reader looked.
    var hasNews = false
    var reader: CheckedContinuation<Void, Never>?
  }

  let request: HTTPRequest
  let begun = ContinuousClock.now
  private let state = Mutex(State())

  /// So much of a body that nobody reads is held.
  static let capacity = 512 << 10

  init(_ request: HTTPRequest) { self.request = request }
}

/// The side of the thread.
extension HTTPTransfer {
  func arrived(_ head: HTTPHead) { change { $0.head = head } }

  /// False if there is no room: none of `bytes` was taken, and nothing more is to come before the reader asks.
  func arrived(_ bytes: UnsafeRawBufferPointer) -> Bool {
    change { state in
      guard state.end == nil else { return true }
      guard state.body.isEmpty || state.body.count + bytes.count <= Self.capacity else {
        state.isPaused = true
        return false
      }
      state.body.append(contentsOf: bytes)
      return true
    }
  }

  /// The first end counts.
  func end(_ result: Result<Void, any Error>) { change { $0.end = $0.end ?? result } }

  private func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    let (result, reader) = state.withLock { state in
      let result = body(&state)
      defer { (state.hasNews, state.reader) = (true, nil) }
      return (result, state.reader)
    }
    reader?.resume()
    return result
  }
}

/// The side of the reader, which is one task at a time.
extension HTTPTransfer {
  struct Piece: Sendable {
    /// Nil at the body's end.
    var bytes: [UInt8]?
    /// The thread waits to be told that there is room again.
    var makesRoom = false
  }

  func head() async throws -> HTTPHead {
    try await take { state in
      if let head = state.head { return head }
      guard let end = state.end else { return nil }
      try end.get()
      throw HTTPFailure.connection("the server sent no answer")
    }
  }

  /// All that is here of the body; waits where that is nothing. What came before a failure is read before it is thrown.
  func next() async throws -> Piece {
    try await take { state in
      if state.body.isEmpty {
        guard let end = state.end else { return nil }
        try end.get()
        return Piece()
      }
      defer { (state.body, state.isPaused) = ([], false) }
      return Piece(bytes: state.body, makesRoom: state.isPaused)
    }
  }

  /// The reader wants no more: whatever it waits for fails.
  func cancel() {
    change { state in
      state.body = []
      state.end = .failure(CancellationError())
    }
  }

  private func take<Value: Sendable>(_ attempt: @Sendable (inout State) throws -> Value?) async throws -> Value {
    while true {
      let value = try state.withLock { state in
        state.hasNews = false
        return try attempt(&state)
      }
      if let value { return value }
      await withCheckedContinuation { continuation in
        let isHere = state.withLock { state in
          if !state.hasNews { state.reader = continuation }
          return state.hasNews
        }
        if isHere { continuation.resume() }
      }
    }
  }
}
