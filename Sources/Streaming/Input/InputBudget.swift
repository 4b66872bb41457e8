import Synchronization

/// How many bytes a session may hold that its client sent and nobody has used yet. The one task that
/// reads the connection waits here for room; meanwhile TCP holds the client up.
///
/// All streams of a session share it. So one stream that nobody reads holds up the others in the end, as it
/// does wherever SPDY is used without its windows, which is everywhere in Kubernetes.
final class InputBudget: Sendable {
  private struct State {
    var used = 0
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let limit: Int
  private let state = Mutex(State())

  init(limit: Int) { self.limit = limit }

  var used: Int { state.withLock { $0.used } }

  /// Whether the reader of the connection waits.
  var isStalled: Bool { state.withLock { $0.waiter != nil } }

  /// While the reader waits, sends a probe every so often. A client that closes its socket then can't be
  /// seen to: its kernel keeps the end behind data that we don't take. But it answers what comes with a
  /// reset, which is seen.
  func probeWhileStalled(every interval: Duration, _ probe: () async throws -> Void) async throws {
    while true {
      try await Task.sleep(for: interval)
      if isStalled { try await probe() }
    }
  }

  func charge(_ bytes: Int) { state.withLock { $0.used += bytes } }

  func release(_ bytes: Int) {
    let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
      state.used -= bytes
      guard state.used < limit else { return nil }
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  /// Returns when less than the limit is in use, or the calling task is cancelled.
  func waitForRoom() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let pass = state.withLock { state in
          if state.used < limit || Task.isCancelled { return true }
          state.waiter = continuation
          return false
        }
        if pass { continuation.resume() }
      }
    } onCancel: {
      state.withLock { state in
        defer { state.waiter = nil }
        return state.waiter
      }?.resume()
    }
  }
}
