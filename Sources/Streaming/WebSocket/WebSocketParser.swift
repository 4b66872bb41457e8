import NIOCore
import NIOWebSocket

/// The client's half of a WebSocket connection (RFC 6455): bytes in, events out, no I/O.
///
/// A message's data is handed on in the pieces it comes in, whatever frames it is cut into; control frames
/// are held until complete. After a violation nothing more is parsed.
struct WebSocketParser: FrameParser {
  enum Event: Hashable, Sendable {
    /// A part of a message; empty only where the message is, or where its end comes alone.
    case data(ByteBuffer, isText: Bool, isFirst: Bool, isLast: Bool)
    case ping(ByteBuffer)
    /// The client's close frame, with its code where it has one.
    case close(code: UInt16?)
  }

  /// As Kubernetes' own servers have it.
  static let maximumFrame = 32 << 20
  private static let maximumControlFrame = 125
  private static let opcodes: Set<WebSocketOpcode> = [
    .continuation, .text, .binary, .connectionClose, .ping, .pong,
  ]

  private struct Frame {
    let opcode: WebSocketOpcode
    let isLast: Bool
    let mask: WebSocketMaskingKey
    let length: Int
    var left: Int
  }

  private enum State {
    case header
    case payload(Frame)
    case closed
    case failed(WebSocketViolation)
  }

  private enum Message {
    case none
    /// `isFirst`: none of it was handed on yet.
    case open(isText: Bool, isFirst: Bool)
  }

  private var state = State.header
  private var message = Message.none
  var buffer = ByteBuffer()

  init() {}

  /// The next event; nil where more bytes are needed, and after the client's close.
  mutating func next() throws(WebSocketViolation) -> Event? {
    do throws(WebSocketViolation) {
      while true {
        switch state {
        case .failed(let violation): throw violation
        case .closed: return nil
        case .header: guard try readHeader() else { return nil }
        case .payload(let frame):
          if frame.opcode.isControlOpcode {
            guard var payload = buffer.readSlice(length: frame.length) else { return nil }
            payload.webSocketUnmask(frame.mask)
            state = .header
            if let event = try control(frame.opcode, payload) { return event }
          } else {
            return data(frame)
          }
        }
      }
    } catch {
      state = .failed(error)
      buffer = ByteBuffer()
      throw error
    }
  }

  private mutating func readHeader() throws(WebSocketViolation) -> Bool {
    var ahead = buffer
    guard let (first, second) = ahead.readMultipleIntegers(as: (UInt8, UInt8).self) else { return false }
    guard first & 0x70 == 0 else { throw .reservedBits }
    guard let opcode = WebSocketOpcode(encodedWebSocketOpcode: first & 0x0f), Self.opcodes.contains(opcode) else {
      throw .unknownOpcode(first & 0x0f)
    }
    guard second & 0x80 != 0 else { throw .notMasked }
    var length = UInt64(second & 0x7f)
    if length == 126 {
      guard let long = ahead.readInteger(as: UInt16.self) else { return false }
      length = UInt64(long)
    } else if length == 127 {
      guard let long = ahead.readInteger(as: UInt64.self) else { return false }
      length = long
    }
    guard length <= Self.maximumFrame else { throw .frameTooLarge(length) }
    let isLast = first & 0x80 != 0
    if opcode.isControlOpcode {
      guard isLast, length <= Self.maximumControlFrame else { throw .badControlFrame }
    }
    guard let bytes = ahead.readBytes(length: 4), let mask = WebSocketMaskingKey(bytes) else { return false }
    if !opcode.isControlOpcode { try begin(opcode) }
    buffer = ahead
    state = .payload(
      Frame(opcode: opcode, isLast: isLast, mask: mask, length: Int(length), left: Int(length)))
    return true
  }

  private mutating func begin(_ opcode: WebSocketOpcode) throws(WebSocketViolation) {
    switch (message, opcode) {
    case (.none, .text): message = .open(isText: true, isFirst: true)
    case (.none, .binary): message = .open(isText: false, isFirst: true)
    case (.open, .continuation): break
    default: throw .outOfOrder
    }
  }

  private mutating func data(_ frame: Frame) -> Event? {
    guard case .open(let isText, let isFirst) = message else { return nil }
    guard var piece = buffer.readSlice(length: min(frame.left, buffer.readableBytes)) else { return nil }
    guard piece.readableBytes > 0 || frame.left == 0 else { return nil }
    piece.webSocketUnmask(frame.mask, indexOffset: frame.length - frame.left)
    let left = frame.left - piece.readableBytes
    let isLast = left == 0 && frame.isLast
    if left == 0 {
      state = .header
    } else {
      var rest = frame
      rest.left = left
      state = .payload(rest)
    }
    message = isLast ? .none : .open(isText: isText, isFirst: false)
    return .data(piece, isText: isText, isFirst: isFirst, isLast: isLast)
  }

  private mutating func control(_ opcode: WebSocketOpcode, _ payload: ByteBuffer) throws(WebSocketViolation) -> Event? {
    switch opcode {
    case .ping: return .ping(payload)
    case .connectionClose:
      guard payload.readableBytes != 1 else { throw .badControlFrame }
      state = .closed
      buffer = ByteBuffer()
      return .close(code: payload.getInteger(at: payload.readerIndex, as: UInt16.self))
    default: return nil
    }
  }
}

/// What a client did that RFC 6455, or our limits, don't allow: the end of its session.
enum WebSocketViolation: Error, Hashable, CustomStringConvertible {
  case reservedBits
  case unknownOpcode(UInt8)
  case notMasked
  case frameTooLarge(UInt64)
  case badControlFrame
  case outOfOrder
  case badBase64

  var description: String {
    switch self {
    case .reservedBits: "malformed WebSocket frame: reserved bits are set, no extension was agreed on"
    case .unknownOpcode(let opcode): "malformed WebSocket frame: unknown opcode \(opcode)"
    case .notMasked: "malformed WebSocket frame: a client must mask what it sends"
    case .frameTooLarge(let size):
      "oversized WebSocket frame: \(size) bytes, more than \(WebSocketParser.maximumFrame)"
    case .badControlFrame: "malformed WebSocket control frame"
    case .outOfOrder: "a WebSocket message begins before the last has ended, or goes on before it began"
    case .badBase64: "a message of a base64 protocol that is not base64"
    }
  }

  /// What the close frame says (RFC 6455 7.4.1).
  var closeCode: UInt16 {
    switch self {
    case .frameTooLarge: 1009
    case .badBase64: 1007
    default: 1002
    }
  }
}
