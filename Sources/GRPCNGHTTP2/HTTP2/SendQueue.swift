/// A stream's messages that wait to become DATA frames, and what comes after them.
struct SendQueue {
  enum End {
    /// END_STREAM on the last DATA frame.
    case endStream
    case trailers([HeaderField])
  }

  private var messages: [[UInt8]] = []
  private var first = 0
  /// How much of the first message is gone, its prefix included.
  private var offset = 0
  private(set) var byteCount = 0
  var end: End?

  mutating func append(_ message: [UInt8]) {
    messages.append(message)
    byteCount += message.count + MessageDeframer.prefixLength
  }

  /// Moves `count` bytes, at most `byteCount`, to the end of `output`, with each message's prefix.
  mutating func move(_ count: Int, to output: OutputBuffer) {
    var left = min(count, byteCount)
    byteCount -= left
    while left > 0 {
      let taken = moveFromFirst(left, to: output)
      left -= taken
      offset += taken
      if offset == messages[first].count + MessageDeframer.prefixLength { dropFirst() }
    }
  }

  private func moveFromFirst(_ limit: Int, to output: OutputBuffer) -> Int {
    let message = messages[first]
    var taken = 0
    while offset + taken < MessageDeframer.prefixLength, taken < limit {
      output.append(Self.prefixByte(at: offset + taken, length: message.count))
      taken += 1
    }
    let start = offset + taken - MessageDeframer.prefixLength
    guard start >= 0 else { return taken }
    let count = min(limit - taken, message.count - start)
    message.withUnsafeBytes { output.append(UnsafeRawBufferPointer(rebasing: $0[start..<start + count])) }
    return taken + count
  }

  private static func prefixByte(at index: Int, length: Int) -> UInt8 {
    index == 0 ? 0 : UInt8(truncatingIfNeeded: length >> ((4 - index) * 8))
  }

  private mutating func dropFirst() {
    offset = 0
    messages[first] = []
    first += 1
    if first == messages.count {
      messages.removeAll(keepingCapacity: first < 64)
      first = 0
    } else if first >= 64, first * 2 >= messages.count {
      messages.removeFirst(first)
      first = 0
    }
  }
}
