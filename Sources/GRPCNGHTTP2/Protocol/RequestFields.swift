/// What HTTP wants of the fields that a client sends (RFC 9113, 8.2 and 8.3). libnghttp2 would look after it, but it
/// also refuses an `:authority` with a slash in it, which is what clients on grpc-go send to a unix socket: its path.
/// Older kubelets are among them. So a server does without libnghttp2's check and has this one.
extension [HeaderField] {
  var isWellFormedRequest: Bool {
    var found: PseudoFields = []
    var isAmongRegular = false
    for field in self {
      guard field.hasWellFormedValue else { return false }
      if field.name.utf8.first == UInt8(ascii: ":") {
        guard !isAmongRegular, let one = PseudoFields(field.name), found.insert(one).inserted else { return false }
      } else {
        isAmongRegular = true
        guard field.isRegular else { return false }
      }
    }
    return found.isSuperset(of: .required)
  }

  var areWellFormedTrailers: Bool { allSatisfy { $0.isRegular && $0.hasWellFormedValue } }
}

private struct PseudoFields: OptionSet {
  let rawValue: UInt8

  static let method = PseudoFields(rawValue: 1)
  static let scheme = PseudoFields(rawValue: 2)
  static let path = PseudoFields(rawValue: 4)
  static let authority = PseudoFields(rawValue: 8)
  static let required: PseudoFields = [.method, .scheme, .path]

  init(rawValue: UInt8) { self.rawValue = rawValue }

  init?(_ name: String) {
    switch name {
    case ":method": self = .method
    case ":scheme": self = .scheme
    case ":path": self = .path
    case ":authority": self = .authority
    default: return nil
    }
  }
}

extension HeaderField {
  /// Whether it may stand after the pseudo fields: its name is a token without upper case, and it is not about the
  /// connection, of which HTTP/2 has its own idea.
  fileprivate var isRegular: Bool {
    switch name {
    case "", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade": return false
    case "te": return value == "trailers"
    default: return name.utf8.allSatisfy(isLowercaseToken)
    }
  }

  fileprivate var hasWellFormedValue: Bool {
    let bytes = value.utf8
    guard bytes.first.map(isBlank) != true, bytes.last.map(isBlank) != true else { return false }
    return bytes.allSatisfy { ($0 >= 0x20 && $0 != 0x7f) || $0 == UInt8(ascii: "\t") }
  }
}

private func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

/// `tchar` of RFC 9110, 5.6.2.
private func isLowercaseToken(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
  default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
  }
}
