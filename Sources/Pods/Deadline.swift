import Common
import LinuxSystem

/// Runs `operation`, and throws `deadlineExceeded` naming `what` once `limit` has passed, cancelling
/// it. The operation must heed cancellation: this returns only when it has ended.
func withDeadline<Result: Sendable>(
  _ limit: Duration, _ what: String, _ operation: @escaping @Sendable () async throws -> Result
) async throws -> Result {
  guard let result = try await within(limit, operation) else {
    throw BulkheadError(.deadlineExceeded, "\(what) took longer than \(limit)")
  }
  return result
}

/// Runs `operation` and returns when it has ended or, cancelling it, once `limit` has passed. The
/// operation must heed cancellation.
func bounded(_ limit: Duration, _ operation: @escaping @Sendable () async -> Void) async {
  await withTaskGroup(of: Void.self) { group in
    group.addTask { await operation() }
    group.addTask { try? await Task.sleep(for: limit) }
    await group.next()
    group.cancelAll()
  }
}

/// Runs `operation` to its end although the calling task may be cancelled: for clean-up.
func uncancelled<Result: Sendable>(_ operation: @escaping @Sendable () async throws -> Result) async throws -> Result {
  try await Task { try await operation() }.value
}
