import NIOCore

/// The client's half of a SPDY/3.1 connection: bytes in, events out, no I/O.
///
/// Data frames are handed on in the pieces they come in, however long they say they are; control frames
/// are held until complete, and bounded. After a violation nothing more is parsed.
struct SPDYParser: FrameParser {
  enum Event: Hashable, Sendable {
    case opened(stream: UInt32, headers: HeaderBlock, isLast: Bool)
    /// `isLast`: the client has closed its half.
    case data(stream: UInt32, ByteBuffer, isLast: Bool)
    /// HEADERS or SYN_REPLY, which nobody here has a use for but for the end they may carry.
    case moreHeaders(stream: UInt32, isLast: Bool)
    case reset(stream: UInt32)
    case ping(id: UInt32)
    case goAway
  }

  static let maximumControlFrame = 16 << 10
  private static let version: UInt16 = 3
  private static let headerSize = 8
  private static let flagFin: UInt8 = 1

  private enum State {
    case header
    case data(stream: UInt32, left: Int, fin: Bool)
    case control(type: UInt16, flags: UInt8, length: Int)
    case failed(SPDYViolation)
  }

  private var state = State.header
  var buffer = ByteBuffer()
  private let inflater = HeaderInflater()
  private var lastStream: UInt32 = 0

  /// The next event; nil where more bytes are needed.
  mutating func next() throws(SPDYViolation) -> Event? {
    do throws(SPDYViolation) {
      while true {
        switch state {
        case .failed(let violation): throw violation
        case .header: guard try readHeader() else { return nil }
        case .data(let stream, let left, let fin): return dataEvent(stream, left, fin)
        case .control(let type, let flags, let length):
          guard let payload = buffer.readSlice(length: length) else { return nil }
          state = .header
          if let event = try controlEvent(type, flags, payload) { return event }
        }
      }
    } catch {
      state = .failed(error)
      buffer = ByteBuffer()
      throw error
    }
  }

  private mutating func readHeader() throws(SPDYViolation) -> Bool {
    guard buffer.readableBytes >= Self.headerSize,
      let (word, rest) = buffer.readMultipleIntegers(as: (UInt32, UInt32).self)
    else { return false }
    let flags = UInt8(truncatingIfNeeded: rest >> 24)
    let length = Int(rest & 0xff_ffff)
    guard word & 0x8000_0000 != 0 else {
      state = .data(stream: word, left: length, fin: flags & Self.flagFin != 0)
      return true
    }
    let version = UInt16(truncatingIfNeeded: word >> 16) & 0x7fff
    guard version == Self.version else { throw .unsupportedVersion(version) }
    guard length <= Self.maximumControlFrame else { throw .frameTooLarge(length: length) }
    state = .control(type: UInt16(truncatingIfNeeded: word), flags: flags, length: length)
    return true
  }

  private mutating func dataEvent(_ stream: UInt32, _ left: Int, _ fin: Bool) -> Event? {
    guard let piece = buffer.readSlice(length: min(left, buffer.readableBytes)) else { return nil }
    if piece.readableBytes == left {
      state = .header
      return .data(stream: stream, piece, isLast: fin)
    }
    guard piece.readableBytes > 0 else { return nil }
    state = .data(stream: stream, left: left - piece.readableBytes, fin: fin)
    return .data(stream: stream, piece, isLast: false)
  }

  /// Nil for frames that change nothing: SETTINGS and WINDOW_UPDATE, since nobody in Kubernetes keeps
  /// SPDY's windows, and types that SPDY says to ignore.
  private mutating func controlEvent(_ type: UInt16, _ flags: UInt8, _ frame: ByteBuffer) throws(SPDYViolation)
    -> Event?
  {
    guard let type = SPDYFrameType(rawValue: type) else { return nil }
    var payload = frame
    let fin = flags & Self.flagFin != 0
    func word() throws(SPDYViolation) -> UInt32 {
      guard let word = payload.readInteger(as: UInt32.self) else {
        throw .malformed(frame: type, length: frame.readableBytes)
      }
      return word
    }
    func end() throws(SPDYViolation) {
      guard payload.readableBytes == 0 else { throw .malformed(frame: type, length: frame.readableBytes) }
    }
    switch type {
    case .synStream:
      let id = try word() & 0x7fff_ffff
      _ = try word()
      guard payload.readInteger(as: UInt16.self) != nil else {
        throw .malformed(frame: type, length: frame.readableBytes)
      }
      // The block is inflated whatever the stream: the compression's state is the connection's.
      let headers = try HeaderBlock(parsing: try inflater.inflate(payload))
      guard id % 2 == 1, id > lastStream else { throw .badStreamID(id) }
      lastStream = id
      return .opened(stream: id, headers: headers, isLast: fin)
    case .synReply, .headers:
      let id = try word() & 0x7fff_ffff
      _ = try HeaderBlock(parsing: try inflater.inflate(payload))
      return .moreHeaders(stream: id, isLast: fin)
    case .rstStream:
      let id = try word() & 0x7fff_ffff
      _ = try word()
      try end()
      return .reset(stream: id)
    case .ping:
      let id = try word()
      try end()
      return .ping(id: id)
    case .goAway:
      _ = try word()
      _ = try word()
      try end()
      return .goAway
    case .windowUpdate:
      _ = try word()
      _ = try word()
      try end()
      return nil
    case .settings:
      let count = try word()
      guard payload.readableBytes == Int(count) * 8 else {
        throw .malformed(frame: type, length: frame.readableBytes)
      }
      return nil
    }
  }
}
