import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Work on a thread of its own, begun at once: these tests block, and must not wait for each other's
/// threads of the concurrency pool.
final class Background<Value: Sendable>: Sendable {
  private let thread: pthread_t
  private let box: Box

  /// Written by the thread before it ends, read after it is joined.
  private final class Box: @unchecked Sendable {
    var result: Result<Value, any Error>?
  }

  init(_ body: @escaping @Sendable () throws -> Value) throws {
    let box = Box()
    self.box = box
    thread = try startThread { box.result = Result { try body() } }
  }

  /// Waits for the end. Once only.
  func value() throws -> Value {
    pthread_join(thread, nil)
    guard let result = box.result else { throw SystemError("pthread_join", ESRCH) }
    return try result.get()
  }
}

private final class Job {
  let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func startThread(_ body: @escaping @Sendable () -> Void) throws -> pthread_t {
  var thread = pthread_t()
  let failure = pthread_create(
    &thread, nil,
    { argument in
      if let argument { Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body() }
      return nil
    }, Unmanaged.passRetained(Job(body)).toOpaque())
  guard failure == 0 else { throw SystemError("pthread_create", failure) }
  return thread
}
