import Common
import ContainerLog
import FoundationEssentials
import Synchronization

/// One attached client's share of a container's output: a bounded queue between the one task that reads the
/// container and the one that writes to the client.
final class OutputListener: Sendable {
  struct Piece: Sendable {
    var stream: LogStream
    var bytes: Data
  }

  private enum End {
    case open
    /// The container has ended; what is queued is still read.
    case over
    /// The client took nothing for too long.
    case dropped
  }

  private struct State {
    var pieces: [Piece] = []
    var bytes = 0
    var end = End.open
    /// Nothing waits for this listener any more.
    var isUrgent = false
    var reader: CheckedContinuation<Void, Never>?
    var writer: CheckedContinuation<Void, Never>?

    var mustWait: Bool {
      guard case .open = end else { return false }
      return bytes >= limit && !isUrgent
    }

    mutating func takeReader() -> CheckedContinuation<Void, Never>? {
      defer { reader = nil }
      return reader
    }

    mutating func takeWriter() -> CheckedContinuation<Void, Never>? {
      defer { writer = nil }
      return writer
    }
  }

  /// What a client that reads slowly may be behind.
  static let limit = 1 << 20
  /// How long the container's output, and with it its log, waits for a client that reads nothing at all.
  static let patience = Duration.seconds(10)

  let streams: ProcessStreamSet
  private let patience: Duration
  private let state = Mutex(State())

  init(_ streams: ProcessStreamSet, patience: Duration = OutputListener.patience) {
    self.streams = streams
    self.patience = patience
  }

  // MARK: - The reader of the container

  /// Returns when there is room for more, or the client has been given up.
  func offer(_ piece: Piece) async {
    state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard case .open = state.end else { return nil }
      state.pieces.append(piece)
      state.bytes += piece.bytes.count
      return state.takeReader()
    }?.resume()
    guard mustWait else { return }
    await bounded(patience) { await self.waitForRoom() }
    if mustWait, !Task.isCancelled { finish(.dropped) }
  }

  /// The container has ended: what is left of its output is little, and waits for nobody.
  func hurry() {
    state.withLock { state in
      state.isUrgent = true
      return state.takeWriter()
    }?.resume()
  }

  func end() { finish(.over) }

  private var mustWait: Bool { state.withLock { $0.mustWait } }

  private func waitForRoom() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state in
          guard state.mustWait, !Task.isCancelled else { return false }
          state.writer = continuation
          return true
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.takeWriter() }?.resume()
    }
  }

  private func finish(_ end: End) {
    let waiters = state.withLock { state in
      guard case .open = state.end else { return [CheckedContinuation<Void, Never>?]() }
      state.end = end
      if case .dropped = end { state.pieces = [] }
      return [state.takeReader(), state.takeWriter()]
    }
    for waiter in waiters { waiter?.resume() }
  }

  // MARK: - The client's side

  /// What there is, in its order; nil at the end. Throws `resourceExhausted` for a client that was too slow.
  func next() async throws -> [Piece]? {
    while true {
      try Task.checkCancellation()
      let (pieces, end, writer) = state.withLock { state in
        defer { (state.pieces, state.bytes) = ([], 0) }
        return (state.pieces, state.end, state.takeWriter())
      }
      writer?.resume()
      if !pieces.isEmpty { return pieces }
      switch end {
      case .over: return nil
      case .dropped:
        throw BulkheadError(
          .resourceExhausted,
          "detached: the container's output was not read for \(patience), and its log could not wait any longer")
      case .open: await waitForPieces()
      }
    }
  }

  private func waitForPieces() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state in
          guard state.pieces.isEmpty, case .open = state.end, !Task.isCancelled else { return false }
          state.reader = continuation
          return true
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.takeReader() }?.resume()
    }
  }
}
