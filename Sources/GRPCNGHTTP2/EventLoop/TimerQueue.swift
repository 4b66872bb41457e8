/// Actions that are due at a time. Cancelling is cheap: an entry whose action is gone is skipped, and
/// the heap is rebuilt when most of it is such entries (nearly every RPC cancels its deadline).
struct TimerQueue {
  struct ID: Hashable {
    fileprivate let number: UInt64
  }

  private struct Entry {
    let due: ContinuousClock.Instant
    let id: ID
  }

  private var heap: [Entry] = []
  private var actions: [ID: () -> Void] = [:]
  private var nextNumber: UInt64 = 0

  mutating func add(_ due: ContinuousClock.Instant, _ action: @escaping () -> Void) -> ID {
    let id = ID(number: nextNumber)
    nextNumber += 1
    actions[id] = action
    heap.append(Entry(due: due, id: id))
    siftUp(heap.count - 1)
    return id
  }

  mutating func cancel(_ id: ID) {
    actions[id] = nil
    if heap.count > 2 * actions.count + 64 {
      heap = heap.filter { actions[$0.id] != nil }.sorted { $0.due < $1.due }
    }
  }

  /// When the next action is due.
  mutating func next() -> ContinuousClock.Instant? {
    while let first = heap.first, actions[first.id] == nil { removeFirst() }
    return heap.first?.due
  }

  /// Takes an action that is due at `now`.
  mutating func takeDue(_ now: ContinuousClock.Instant) -> (() -> Void)? {
    guard let due = next(), due <= now, let id = heap.first?.id else { return nil }
    removeFirst()
    return actions.removeValue(forKey: id)
  }

  private mutating func removeFirst() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    siftDown()
  }

  private mutating func siftUp(_ start: Int) {
    var index = start
    while index > 0, heap[index].due < heap[(index - 1) / 2].due {
      heap.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  private mutating func siftDown() {
    var index = 0
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].due < heap[least].due {
        least = child
      }
      if least == index { return }
      heap.swapAt(index, least)
      index = least
    }
  }
}
