#if canImport(Glibc)
  import Glibc
#endif

/// Runs `body` on a new thread that exists for it alone, and returns what it returns: for calls that
/// block (the concurrency pool must not) and for calls that change the thread itself (setns, unshare).
///
/// Cancellation of the calling task does not end `body`; a body that can hang bounds itself.
/// Throws `SystemError` if no thread can be made.
public func onDedicatedThread<Result: Sendable>(
  _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
  try await withCheckedThrowingContinuation { continuation in
    let job = ThreadJob {
      continuation.resume(with: Swift.Result { try body() })
    }
    var thread = pthread_t()
    let failure = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<ThreadJob>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(job).toOpaque())
    if failure == 0 {
      pthread_detach(thread)
    } else {
      Unmanaged.passUnretained(job).release()
      continuation.resume(throwing: SystemError("pthread_create", failure))
    }
  }
}

private final class ThreadJob: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
