import Common
import NIOCore

/// The frames that a server sends: whole messages, not masked.
enum WebSocketFrames {
  private static let final: UInt8 = 0x80

  enum Kind: UInt8 {
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10
  }

  /// A frame's header with room for its payload, which the caller appends.
  static func header(_ kind: Kind, length: Int) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.reserveCapacity(10 + length)
    frame.writeInteger(final | kind.rawValue)
    if length < 126 {
      frame.writeInteger(UInt8(length))
    } else if let short = UInt16(exactly: length) {
      frame.writeMultipleIntegers(UInt8(126), short)
    } else {
      frame.writeMultipleIntegers(UInt8(127), UInt64(length))
    }
    return frame
  }

  static var ping: ByteBuffer { header(.ping, length: 0) }

  static func pong(_ payload: ByteBuffer) -> ByteBuffer {
    var frame = header(.pong, length: payload.readableBytes)
    frame.writeImmutableBuffer(payload)
    return frame
  }

  /// The reason is cut to what a control frame holds.
  static func close(code: UInt16, reason: String = "") -> ByteBuffer {
    var text = Substring(printable(reason, limit: 120))
    while text.utf8.count > 123 { text.removeLast() }
    var frame = header(.close, length: 2 + text.utf8.count)
    frame.writeInteger(code)
    frame.writeSubstring(text)
    return frame
  }
}
