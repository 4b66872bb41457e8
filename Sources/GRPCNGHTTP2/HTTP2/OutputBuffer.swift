/// Bytes on their way to a socket. One serves all connections of a loop: it is filled from a session,
/// written, and empty again before the next session's turn.
final class OutputBuffer {
  /// Filling stops at this size; one frame may reach past it.
  static let softLimit = 256 << 10

  private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: softLimit + (80 << 10), alignment: 16)
  private(set) var count = 0

  deinit { memory.deallocate() }

  var isFull: Bool { count >= Self.softLimit }
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

  func append(_ source: UnsafeRawBufferPointer) {
    reserve(source.count)
    UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: source)
    count += source.count
  }

  func append(_ byte: UInt8) {
    reserve(1)
    memory[count] = byte
    count += 1
  }

  func removeAll() { count = 0 }

  private func reserve(_ extra: Int) {
    guard memory.count - count < extra else { return }
    let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(memory.count * 2, count + extra), alignment: 16)
    larger.copyMemory(from: bytes)
    memory.deallocate()
    memory = larger
  }
}
