import NIOCore

/// Makes events of bytes that come in pieces of any size.
protocol FrameParser {
  associatedtype Event
  associatedtype Violation: Error

  /// What is not parsed yet.
  var buffer: ByteBuffer { get set }

  /// The next event; nil where more bytes are needed.
  mutating func next() throws(Violation) -> Event?
}

extension FrameParser {
  mutating func append(_ bytes: ByteBuffer) {
    if buffer.readableBytes == 0 {
      buffer = bytes
    } else {
      buffer.discardReadBytes()
      buffer.writeImmutableBuffer(bytes)
    }
  }
}
