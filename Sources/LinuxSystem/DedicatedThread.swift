#if canImport(Glibc)
  import Glibc
#endif
import Synchronization

/// Runs `body` on a new thread that exists for it alone, and returns what it returns: for calls that
/// block, which the concurrency pool must not. `body` must leave the thread's namespaces as they are.
///
/// Cancellation of the calling task does not end `body`; a body that can hang bounds itself.
/// Throws `SystemError` if no thread can be made.
public func onDedicatedThread<Result: Sendable>(
  _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
  try await withCheckedThrowingContinuation { continuation in
    do {
      let thread = try startThread { continuation.resume(with: Swift.Result { try body() }) }
      pthread_detach(thread)
    } catch {
      continuation.resume(throwing: error)
    }
  }
}

/// The same for calls that change the thread's namespaces (setns(2), unshare(2)). To wake the calling task can start a
/// thread of the concurrency pool, which inherits the namespaces of the thread that starts it and keeps them for good: so
/// another thread does, which has waited for this one.
public func onNamespaceThread<Result: Sendable>(
  _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
  try await onDedicatedThread {
    let outcome = Outcome<Result>()
    let thread = try startThread { outcome.value.withLock { $0 = Swift.Result { try body() } } }
    pthread_join(thread, nil)
    guard let result = outcome.value.withLock({ $0 }) else { throw SystemError("pthread_join", EINVAL) }
    return try result.get()
  }
}

private final class Outcome<Result: Sendable>: Sendable {
  let value = Mutex<Swift.Result<Result, any Error>?>(nil)
}

/// Runs `run` on a new thread, which the caller must join or detach (pthread_create(3)).
public func startThread(_ run: @escaping @Sendable () -> Void) throws(SystemError) -> pthread_t {
  let job = ThreadJob(run)
  var thread = pthread_t()
  let failure = pthread_create(
    &thread, nil,
    { argument in
      guard let argument else { return nil }
      Unmanaged<ThreadJob>.fromOpaque(argument).takeRetainedValue().run()
      return nil
    }, Unmanaged.passRetained(job).toOpaque())
  guard failure == 0 else {
    Unmanaged.passUnretained(job).release()
    throw SystemError("pthread_create", failure)
  }
  return thread
}

private final class ThreadJob: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
