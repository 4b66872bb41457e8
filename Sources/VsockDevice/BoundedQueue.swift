/// A first-in first-out queue of fixed capacity, so that nothing from outside makes it grow.
struct BoundedQueue<Element> {
  private var elements: ContiguousArray<Element>
  private var start = 0
  private(set) var count = 0

  init(capacity: Int, filling empty: Element) { elements = ContiguousArray(repeating: empty, count: capacity) }

  var isEmpty: Bool { count == 0 }
  var isFull: Bool { count == elements.count }
  var first: Element? { isEmpty ? nil : elements[start] }

  /// False, and nothing happens, if the queue is full.
  @discardableResult mutating func append(_ element: Element) -> Bool {
    guard !isFull else { return false }
    elements[(start + count) % elements.count] = element
    count += 1
    return true
  }

  @discardableResult mutating func popFirst() -> Element? {
    guard let element = first else { return nil }
    start = (start + 1) % elements.count
    count -= 1
    return element
  }

  mutating func removeAll() { count = 0 }
}
