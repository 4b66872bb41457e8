import Common

/// How often, and after what waits, a request that failed for a passing reason is tried again.
struct RetryPolicy: Sendable {
  var attempts = 5
  var firstWait: Duration = .milliseconds(250)
  var longestWait: Duration = .seconds(20)

  /// The wait before attempt `number` (from 1): doubled each time, with jitter so that many nodes do not come
  /// back at the same moment; what the registry asked for where that is longer.
  func wait(before number: Int, asked: Duration?) -> Duration {
    let doubled = firstWait * (1 << min(number - 1, 16))
    let jittered = min(doubled, longestWait) * Double.random(in: 0.5...1)
    return max(jittered, min(asked ?? .zero, longestWait))
  }

  /// Runs `body` until it succeeds, fails for good, or `attempts` are used up. `madeProgress` says whether the
  /// attempt that failed got anywhere: then the count begins anew.
  func run<Result: Sendable>(
    madeProgress: @Sendable () -> Bool = { false },
    onRetry: @Sendable (RegistryFailure) -> Void = { _ in },
    _ body: @Sendable () async throws -> Result
  ) async throws -> Result {
    var failures = 0
    while true {
      do {
        return try await body()
      } catch let failure as RegistryFailure where failure.isTransient {
        failures = madeProgress() ? 1 : failures + 1
        guard failures < attempts else { throw failure }
        onRetry(failure)
        var asked: Duration?
        if case .status(_, _, _, let retryAfter) = failure { asked = retryAfter }
        try await Task.sleep(for: wait(before: failures, asked: asked))
      }
    }
  }
}
