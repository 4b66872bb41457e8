import FoundationEssentials
import NIOCore

/// The frames that a server sends.
enum SPDYFrames {
  enum ResetStatus: UInt32 {
    case protocolError = 1
    case refusedStream = 3
    case cancel = 5
  }

  enum GoAwayStatus: UInt32 {
    case ok = 0
    case protocolError = 1
  }

  static func synReply(stream: UInt32, compressedHeaders: [UInt8]) -> ByteBuffer {
    var frame = control(.synReply, length: 4 + compressedHeaders.count)
    frame.writeInteger(stream)
    frame.writeBytes(compressedHeaders)
    return frame
  }

  static func reset(stream: UInt32, _ status: ResetStatus) -> ByteBuffer {
    var frame = control(.rstStream, length: 8)
    frame.writeMultipleIntegers(stream, status.rawValue)
    return frame
  }

  static func ping(id: UInt32) -> ByteBuffer {
    var frame = control(.ping, length: 4)
    frame.writeInteger(id)
    return frame
  }

  static func goAway(lastStream: UInt32, _ status: GoAwayStatus) -> ByteBuffer {
    var frame = control(.goAway, length: 8)
    frame.writeMultipleIntegers(lastStream, status.rawValue)
    return frame
  }

  /// `bytes` must be shorter than 16 MiB.
  static func data(stream: UInt32, _ bytes: Data, isLast: Bool) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.reserveCapacity(8 + bytes.count)
    frame.writeMultipleIntegers(stream, (isLast ? 0x0100_0000 : 0) | UInt32(bytes.count))
    frame.writeBytes(bytes)
    return frame
  }

  private static func control(_ type: SPDYFrameType, length: Int) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.reserveCapacity(8 + length)
    frame.writeMultipleIntegers(UInt16(0x8003), type.rawValue, UInt32(length))
    return frame
  }
}
