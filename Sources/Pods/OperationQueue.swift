import Synchronization

/// Lets one operation run at a time, in the order they came: what makes a pod's mutations serial
/// although actors let calls interleave at every `await`.
///
/// A waiter that is cancelled leaves the queue with `CancellationError`.
final class OperationQueue: Sendable {
  private struct State {
    var busy = false
    var next: UInt64 = 0
    var waiters: [(id: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []
  }

  private let state = Mutex(State())

  /// Runs `operation`, in the caller's isolation, when its turn has come.
  func run<Result>(
    isolation: isolated (any Actor)? = #isolation, _ operation: () async throws -> Result
  ) async throws -> Result {
    try await enter()
    defer { leave() }
    return try await operation()
  }

  private func enter() async throws {
    let id = state.withLock { state in
      state.next += 1
      return state.next
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let admitted: Result<Void, any Error>? = state.withLock { state in
          if Task.isCancelled { return .failure(CancellationError()) }
          if !state.busy {
            state.busy = true
            return .success(())
          }
          state.waiters.append((id, continuation))
          return nil
        }
        if let admitted { continuation.resume(with: admitted) }
      }
    } onCancel: {
      let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
        guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
        return state.waiters.remove(at: index).continuation
      }
      waiter?.resume(throwing: CancellationError())
    }
  }

  private func leave() {
    let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
      guard !state.waiters.isEmpty else {
        state.busy = false
        return nil
      }
      return state.waiters.removeFirst().continuation
    }
    waiter?.resume()
  }
}
