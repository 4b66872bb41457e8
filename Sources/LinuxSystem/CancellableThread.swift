import Synchronization

/// Whether the task that waits for a thread still wants its result.
public final class CancellationFlag: Sendable {
  private let isSet = Atomic(false)

  public init() {}

  func set() { isSet.store(true, ordering: .relaxed) }

  /// Throws once the task is cancelled. Cheap: made to be called for each piece of long work.
  public func check() throws(CancellationError) {
    if isSet.load(ordering: .relaxed) { throw CancellationError() }
  }
}

/// `onDedicatedThread` for long work, which asks the flag now and then and ends with its error.
public func onCancellableThread<Result: Sendable>(
  _ body: @escaping @Sendable (CancellationFlag) throws -> Result
) async throws -> Result {
  let flag = CancellationFlag()
  return try await withTaskCancellationHandler {
    try await onDedicatedThread { try body(flag) }
  } onCancel: {
    flag.set()
  }
}
