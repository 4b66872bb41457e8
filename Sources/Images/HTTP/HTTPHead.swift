/// Status and headers of an answer.
struct HTTPHead: Sendable {
  let status: Int
  fileprivate(set) var headers: [RegistryEndpoint.Header] = []

  init(status: Int) { self.status = status }

  /// Every value of the header `name`, in the order in which they came.
  subscript(name: String) -> [String] {
    let wanted = name.lowercased()
    return headers.filter { $0.name == wanted }.map(\.value)
  }

  func first(_ name: String) -> String? { self[name].first }
}

/// Puts an answer's head together from its lines, and refuses what a server must not send (RFC 9112): libcurl takes
/// the last of two lengths, and knows transfer codings that nobody asked for.
struct HTTPHeadReader {
  private enum State {
    case beforeHead
    case head(HTTPHead)
    case afterHead
  }

  private var state = State.beforeHead
  private var bytes = 0
  private var lines = 0

  static let maximumBytes = 64 << 10
  static let maximumLines = 256

  /// One line with its end, of a head or of the trailers. Returns the head with its last line. What comes before the
  /// final head (RFC 9110 15.2) counts towards the limits and is else ignored.
  mutating func take(_ line: UnsafeRawBufferPointer) throws(HTTPFailure) -> HTTPHead? {
    bytes += line.count
    lines += 1
    guard bytes <= Self.maximumBytes, lines <= Self.maximumLines else { throw .violation("headers without end") }
    let text = Self.withoutEnd(line)
    switch state {
    case .afterHead: return nil
    case .beforeHead:
      let words = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
      guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]), (100...999).contains(status)
      else { throw .violation("no HTTP/1 status line") }
      state = .head(HTTPHead(status: status))
      return nil
    case .head(var head):
      if text.isEmpty { return try end(head) }
      try Self.add(text, to: &head)
      state = .head(head)
      return nil
    }
  }

  private mutating func end(_ head: HTTPHead) throws(HTTPFailure) -> HTTPHead? {
    guard head.status >= 200 else {
      state = .beforeHead
      return nil
    }
    let lengths = Set(head["content-length"])
    guard lengths.count <= 1 else { throw .violation("two different lengths of one answer") }
    if let length = lengths.first, UInt64(length) == nil || length.hasPrefix("+") {
      throw .violation("a length that is no number")
    }
    let codings = head["transfer-encoding"]
    guard codings.isEmpty || (codings.map { $0.lowercased() } == ["chunked"] && lengths.isEmpty) else {
      throw .violation("a transfer coding that was not asked for")
    }
    state = .afterHead
    return head
  }

  private static func add(_ line: String, to head: inout HTTPHead) throws(HTTPFailure) {
    guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else { throw .violation("a malformed header") }
    let name = line[..<colon].lowercased()
    var value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
    while value.last == " " || value.last == "\t" { value.removeLast() }
    guard name.utf8.allSatisfy({ (0x21...0x7e).contains($0) }), !value.utf8.contains(0) else {
      throw .violation("a malformed header")
    }
    head.headers.append(.init(name: name, value: String(value)))
  }

  private static func withoutEnd(_ line: UnsafeRawBufferPointer) -> String {
    var line = line[...]
    if line.last == UInt8(ascii: "\n") { line.removeLast() }
    if line.last == UInt8(ascii: "\r") { line.removeLast() }
    return String(decoding: line, as: UTF8.self)
  }
}
