import Common
import Synchronization
import Testing

@testable import Pods

/// What happened, in order, from any task.
private final class Recorder: Sendable {
  private let storage = Mutex<[String]>([])
  var lines: [String] { storage.withLock { $0 } }
  func add(_ line: String) { storage.withLock { $0.append(line) } }
}

@Suite struct ConcurrencyTests {
  @Test func operationsRunOneAtATimeInOrder() async throws {
    let queue = OperationQueue()
    let log = Recorder()
    let gate = Latch()
    async let first: Void = queue.run {
      log.add("first begins")
      await gate.wait()
      log.add("first ends")
    }
    while log.lines.isEmpty { await Task.yield() }
    async let second: Void = queue.run { log.add("second") }
    gate.open()
    try await first
    try await second
    #expect(log.lines == ["first begins", "first ends", "second"])
  }

  @Test func aCancelledWaiterLeavesTheQueueAndTheNextOneRuns() async throws {
    let queue = OperationQueue()
    let gate = Latch()
    let holder = Task { try await queue.run { await gate.wait() } }
    let waiter = Task { try await queue.run { 1 } }
    waiter.cancel()
    await #expect(throws: CancellationError.self) { try await waiter.value }
    gate.open()
    try await holder.value
    #expect(try await queue.run { 2 } == 2)
  }

  @Test func aLatchLetsPassWhoWaitsAndWhoComesLater() async {
    let latch = Latch()
    let waiter = Task { await latch.wait() }
    latch.open()
    await waiter.value
    await latch.wait()
  }

  @Test func aDeadlineEndsWhatTakesTooLong() async throws {
    let error = await #expect(throws: BulkheadError.self) {
      try await withDeadline(.milliseconds(10), "waiting") { await Latch().wait() }
    }
    #expect(error?.code == .deadlineExceeded)
    #expect(try await withDeadline(.seconds(60), "answering") { 7 } == 7)
  }
}
