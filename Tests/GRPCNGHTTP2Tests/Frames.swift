/// HTTP/2 frames as bytes (RFC 9113, 4.1), valid or not.
enum Frames {
  enum Kind {
    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let reset: UInt8 = 3
    static let settings: UInt8 = 4
    static let ping: UInt8 = 6
    static let continuation: UInt8 = 9
  }

  static let endStream: UInt8 = 1
  static let endHeaders: UInt8 = 4
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  static let settings = frame(Kind.settings, 0, 0, [])

  static func frame(_ kind: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
    let length = payload.count
    let head = [UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8)]
    return head + [UInt8(truncatingIfNeeded: length), kind, flags] + bytes(stream) + payload
  }

  static func bytes(_ number: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
  }

  /// Literal fields without indexing or Huffman code (RFC 7541, 6.2.2). Texts of at most 126 bytes.
  static func headerBlock(_ fields: [(String, String)]) -> [UInt8] {
    var block: [UInt8] = []
    for (name, value) in fields {
      block += [0, UInt8(name.utf8.count)]
      block += Array(name.utf8)
      block.append(UInt8(value.utf8.count))
      block += Array(value.utf8)
    }
    return block
  }

  static func request(
    _ stream: UInt32, method: String = "Unary", authority: String = "a", flags: UInt8 = endHeaders
  ) -> [UInt8] {
    let block = headerBlock([
      (":method", "POST"), (":scheme", "http"), (":path", "/test.Echo/\(method)"), (":authority", authority),
      ("te", "trailers"), ("content-type", "application/grpc"),
    ])
    return frame(Kind.headers, flags, stream, block)
  }

  static func message(_ stream: UInt32, _ message: [UInt8], flags: UInt8 = endStream) -> [UInt8] {
    frame(Kind.data, flags, stream, [0] + bytes(UInt32(message.count)) + message)
  }
}
