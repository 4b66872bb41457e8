import NIOCore

@testable import Streaming

extension FrameParser {
  /// What `bytes` are, given in pieces of so many.
  mutating func events(of bytes: [UInt8], pieces: Int) throws -> [Event] {
    var found: [Event] = []
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = rest.prefix(pieces)
      rest = rest.dropFirst(piece.count)
      append(ByteBuffer(bytes: piece))
      while let event = try next() { found.append(event) }
    }
    return found
  }
}
