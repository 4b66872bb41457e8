import Common
import Synchronization

/// Work that several callers want at once is done once: the first caller for a key starts it, those who come while
/// it runs get the same result. A caller that is cancelled leaves at once, and the work goes on for the others;
/// when the last one leaves, the work is cancelled, and that caller waits until it has cleaned up.
///
/// `Progress` values go to every caller that is there at that moment.
actor JoinedWork<Key: Hashable & Sendable, Value: Sendable, Progress: Sendable> {
  typealias Report = @Sendable (Progress) -> Void

  private struct Work {
    let id: Int
    let task: Task<Void, Never>
    let observers: Observers
    var waiters: [Int: CheckedContinuation<Result<Value, any Error>, any Error>] = [:]
    /// No caller wants it any more; it is on its way out.
    var isAbandoned = false
  }

  private var works: [Key: Work] = [:]
  private var lastID = 0

  struct Outcome: Sendable {
    let result: Result<Value, any Error>
    /// Whether this caller's `work` ran; else it was another's.
    let isOwn: Bool
  }

  /// What the work for `key` came to: this caller's, or that of who came before. Throws `CancellationError` if this
  /// caller was cancelled.
  func run(
    _ key: Key, onProgress: Report? = nil,
    _ work: @escaping @Sendable (_ report: @escaping Report) async throws -> Value
  ) async throws -> Outcome {
    while let leaving = works[key], leaving.isAbandoned { await leaving.task.value }
    try Task.checkCancellation()
    let began = works[key] == nil
    if began { start(key, work) }
    let waiter = nextID()
    if let onProgress { works[key]?.observers.add(waiter, onProgress) }
    let result = try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { wait(key, waiter, $0) }
    } onCancel: {
      Task { await self.leave(key, waiter) }
    }
    return Outcome(result: result, isOwn: began)
  }

  private func start(_ key: Key, _ work: @escaping @Sendable (@escaping Report) async throws -> Value) {
    let id = nextID()
    let observers = Observers()
    let task = Task {
      do {
        finish(key, id, .success(try await work { observers.send($0) }))
      } catch {
        finish(key, id, .failure(error))
      }
    }
    works[key] = Work(id: id, task: task, observers: observers)
  }

  private func wait(_ key: Key, _ waiter: Int, _ continuation: CheckedContinuation<Result<Value, any Error>, any Error>)
  {
    guard !Task.isCancelled, works[key] != nil else {
      works[key]?.observers.remove(waiter)
      continuation.resume(throwing: CancellationError())
      abandonIfUnwanted(key)
      return
    }
    works[key]?.waiters[waiter] = continuation
  }

  private func leave(_ key: Key, _ waiter: Int) async {
    guard let continuation = works[key]?.waiters.removeValue(forKey: waiter) else { return }
    works[key]?.observers.remove(waiter)
    abandonIfUnwanted(key)
    if let work = works[key], work.isAbandoned { await work.task.value }
    continuation.resume(throwing: CancellationError())
  }

  private func abandonIfUnwanted(_ key: Key) {
    guard let work = works[key], work.waiters.isEmpty, !work.isAbandoned else { return }
    works[key]?.isAbandoned = true
    work.task.cancel()
  }

  private func finish(_ key: Key, _ id: Int, _ result: Result<Value, any Error>) {
    guard let work = works[key], work.id == id else { return }
    works[key] = nil
    for continuation in work.waiters.values { continuation.resume(returning: result) }
  }

  private func nextID() -> Int {
    lastID += 1
    return lastID
  }

  /// Who is told of the progress; apart from the actor, so that telling does not wait.
  private final class Observers: Sendable {
    private let reports = Mutex<[Int: Report]>([:])

    func add(_ id: Int, _ report: @escaping Report) { reports.withLock { $0[id] = report } }
    func remove(_ id: Int) { reports.withLock { $0[id] = nil } }
    func send(_ progress: Progress) {
      for report in reports.withLock({ Array($0.values) }) { report(progress) }
    }
  }
}
