import Common
import LinuxSystem
import Synchronization

/// Runs a blocking call on a thread of its own and waits for it at most this long; then throws
/// `deadlineExceeded` and leaves the thread to it. `body` can learn whether its caller has given up.
func onThread<Result: Sendable>(
  within limit: Duration, _ doing: String, _ body: @escaping @Sendable (Abandonment) throws -> Result
) async throws -> Result {
  let abandonment = Abandonment()
  return try await withCheckedThrowingContinuation { continuation in
    let answer = Answer(continuation)
    let timer = Task {
      try await Task.sleep(for: limit)
      abandonment.abandon()
      answer.give(.failure(BulkheadError(.deadlineExceeded, "\(doing): not done after \(limit)")))
    }
    Task {
      do {
        let result = try await onNamespaceThread { try body(abandonment) }
        answer.give(.success(result))
      } catch {
        answer.give(.failure(error))
      }
      timer.cancel()
    }
  }
}

/// Whether the caller of `onThread` has given up.
final class Abandonment: Sendable {
  private let flag = Atomic(false)
  var isAbandoned: Bool { flag.load(ordering: .acquiring) }
  func abandon() { flag.store(true, ordering: .releasing) }
}

/// Resumes a continuation with the first answer that is given; later ones are dropped.
private final class Answer<Result: Sendable>: Sendable {
  private let continuation: Mutex<CheckedContinuation<Result, any Error>?>

  init(_ continuation: CheckedContinuation<Result, any Error>) { self.continuation = Mutex(continuation) }

  func give(_ result: Swift.Result<Result, any Error>) {
    let waiting = continuation.withLock { $0.take() }
    waiting?.resume(with: result)
  }
}
