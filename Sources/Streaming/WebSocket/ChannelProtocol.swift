import FoundationEssentials
import NIOCore

/// Kubernetes' channels over one WebSocket: each message is a channel's number and data. In the base64
/// forms both are text: a digit, then the data as base64.
enum ChannelProtocol: String, Sendable {
  case v5 = "v5.channel.k8s.io"
  case v4 = "v4.channel.k8s.io"
  case v4Base64 = "v4.base64.channel.k8s.io"
  case v1 = "channel.k8s.io"
  case v1Base64 = "base64.channel.k8s.io"

  var isBase64: Bool { self == .v4Base64 || self == .v1Base64 }
  /// Whether an error is a `metav1.Status` and not only text.
  var hasStatus: Bool { self == .v5 || self == .v4 || self == .v4Base64 }
  /// Whether a client can close one channel, as SPDY's clients close a stream.
  var canClose: Bool { self == .v5 }

  static let closeChannel: UInt8 = 255
  private static let digitZero = UInt8(ascii: "0")

  /// One message as a frame. A channel past 9 has no base64 form and is never sent in one.
  func frame(channel: UInt8, _ data: Data) -> ByteBuffer {
    if isBase64 {
      let text = data.base64EncodedData()
      var frame = WebSocketFrames.header(.text, length: 1 + text.count)
      frame.writeInteger(Self.digitZero + channel % 10)
      frame.writeBytes(text)
      return frame
    }
    var frame = WebSocketFrames.header(.binary, length: 1 + data.count)
    frame.writeInteger(channel)
    frame.writeBytes(data)
    return frame
  }

  /// The channel that a message's first byte names.
  func channel(_ byte: UInt8) -> UInt8? {
    guard isBase64 else { return byte }
    return (Self.digitZero...(Self.digitZero + 9)).contains(byte) ? byte - Self.digitZero : nil
  }
}

/// Decodes one message's base64 as its pieces come in: whole groups of four, the rest kept.
struct Base64Pieces {
  private var kept: [UInt8] = []

  /// Throws where it is not base64, or `isLast` comes inside a group.
  mutating func decode(_ piece: ByteBuffer, isLast: Bool) throws(WebSocketViolation) -> ByteBuffer {
    kept += piece.readableBytesView
    let whole = kept.count / 4 * 4
    guard let decoded = Data(base64Encoded: Data(kept[..<whole])) else { throw .badBase64 }
    kept.removeFirst(whole)
    guard !isLast || kept.isEmpty else { throw .badBase64 }
    return ByteBuffer(bytes: decoded)
  }
}
