/// The end of a byte stream: what was written and not yet acknowledged, addressed by its offset from the
/// stream's start. Grows as it fills, up to `capacity`.
struct RingBuffer {
  let capacity: Int
  /// The offset of the oldest byte that is kept.
  private(set) var start: UInt64 = 0
  private(set) var count = 0
  private var storage: [UInt8] = []
  /// Where in `storage` the oldest byte is.
  private var head = 0

  init(capacity: Int) { self.capacity = capacity }

  /// The offset after the newest byte.
  var end: UInt64 { start + UInt64(count) }
  var free: Int { capacity - count }

  /// Appends `bytes`, as many as are `free`.
  mutating func append(_ bytes: [UInt8]) {
    let accepted = bytes.prefix(free)
    guard !accepted.isEmpty else { return }
    grow(to: count + accepted.count)
    let first = (head + count) % storage.count
    let untilWrap = min(accepted.count, storage.count - first)
    storage.replaceSubrange(first..<first + untilWrap, with: accepted.prefix(untilWrap))
    storage.replaceSubrange(0..<accepted.count - untilWrap, with: accepted.dropFirst(untilWrap))
    count += accepted.count
  }

  /// At most `limit` bytes from `offset` on; empty where there are none yet, or where they were forgotten.
  func bytes(from offset: UInt64, limit: Int) -> [UInt8] {
    guard offset >= start, offset < end else { return [] }
    let skipped = Int(offset - start)
    let length = min(limit, count - skipped)
    let first = (head + skipped) % storage.count
    let untilWrap = min(length, storage.count - first)
    return Array(storage[first..<first + untilWrap]) + storage[0..<length - untilWrap]
  }

  /// Forgets all below `offset`. An offset beyond the end forgets everything.
  mutating func forget(below offset: UInt64) {
    guard offset > start else { return }
    let forgotten = Int(min(offset - start, UInt64(count)))
    start += UInt64(forgotten)
    count -= forgotten
    head = count == 0 ? 0 : (head + forgotten) % storage.count
  }

  private mutating func grow(to needed: Int) {
    guard needed > storage.count else { return }
    var size = max(storage.count, 4096)
    while size < needed { size *= 2 }
    let kept = bytes(from: start, limit: count)
    storage = kept + [UInt8](repeating: 0, count: min(size, capacity) - kept.count)
    head = 0
  }
}
