/// What a client did that SPDY/3.1, or our limits, don't allow: the end of its session.
enum SPDYViolation: Error, Hashable, CustomStringConvertible {
  case unsupportedVersion(UInt16)
  case malformed(frame: SPDYFrameType, length: Int)
  case frameTooLarge(length: Int)
  case badStreamID(UInt32)
  case badCompression
  case headersTooLarge
  case badHeaders(String)

  var description: String {
    switch self {
    case .unsupportedVersion(let version): "SPDY version \(version) is not spoken here, only 3"
    case .malformed(let frame, let length): "malformed SPDY frame: \(frame) of \(length) bytes"
    case .frameTooLarge(let length): "oversized SPDY control frame: \(length) bytes"
    case .badStreamID(let id): "SPDY stream id \(id) is out of order or not the client's to use"
    case .badCompression: "a SPDY header block that zlib can't inflate"
    case .headersTooLarge: "a SPDY header block that inflates to more than \(HeaderInflater.maximumSize) bytes"
    case .badHeaders(let why): "malformed SPDY header block: \(why)"
    }
  }
}

/// Control frames by their number (SPDY/3 2.6).
enum SPDYFrameType: UInt16, Sendable {
  case synStream = 1
  case synReply = 2
  case rstStream = 3
  case settings = 4
  case ping = 6
  case goAway = 7
  case headers = 8
  case windowUpdate = 9
}
