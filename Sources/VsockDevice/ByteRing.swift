/// What the guest sent to a client that does not read fast enough: at most the credit that the guest
/// has, made when first needed, gone when drained.
final class ByteRing {
  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  private var start = 0
  private(set) var count = 0

  init(capacity: Int) {
    self.capacity = capacity
    base = .allocate(byteCount: capacity, alignment: 16)
  }
  deinit { base.deallocate() }

  var isEmpty: Bool { count == 0 }
  var room: Int { capacity - count }

  /// Copies all of `source` in; there must be room (the connection's credit sees to it).
  func append(_ source: SharedBytes) {
    precondition(source.count <= room)
    let end = (start + count) % capacity
    let first = min(source.count, capacity - end)
    source.slice(from: 0, count: first).copy(to: base + end)
    source.slice(from: first, count: source.count - first).copy(to: base)
    count += source.count
  }

  /// The longest run of bytes at the front.
  var front: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base + start, count: min(count, capacity - start))
  }

  func drop(_ dropped: Int) {
    precondition(dropped <= count)
    start = (start + dropped) % capacity
    count -= dropped
  }
}
