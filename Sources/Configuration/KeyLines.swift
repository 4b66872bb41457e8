/// The line on which each key of a TOML file stands. The TOML library says lines only for what it
/// can't parse, so this walks a text that it has parsed already: what it meets is valid TOML, and all
/// it must know is where a value ends (strings, multi-line strings, brackets).
struct KeyLines {
  private var lines: [String: Int] = [:]

  /// The line of "section.name", or of the table that it stands in; nil if it is nowhere.
  func line(of key: String) -> Int? {
    lines[key] ?? key.lastIndex(of: ".").flatMap { lines[String(key[..<$0])] }
  }

  init(_ text: String) {
    var scanner = Scanner(bytes: Array(text.utf8))
    var table = ""
    while scanner.skipToKey() {
      let line = scanner.line
      let isHeader = scanner.skip(UInt8(ascii: "["))
      if isHeader { _ = scanner.skip(UInt8(ascii: "[")) }
      let name = scanner.key()
      if isHeader {
        table = name
        lines[name] = lines[name] ?? line
        scanner.skipLine()
      } else {
        let full = table.isEmpty ? name : "\(table).\(name)"
        lines[full] = lines[full] ?? line
        // A dotted key makes its table, too.
        if let dot = full.lastIndex(of: ".") { lines[String(full[..<dot])] = lines[String(full[..<dot])] ?? line }
        scanner.skipValue()
      }
    }
  }
}

private struct Scanner {
  let bytes: [UInt8]
  var position = 0
  var line = 1

  init(bytes: [UInt8]) { self.bytes = bytes }

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func advance(_ count: Int = 1) {
    for _ in 0..<count where position < bytes.count {
      if bytes[position] == UInt8(ascii: "\n") { line += 1 }
      position += 1
    }
  }

  mutating func skip(_ byte: UInt8) -> Bool {
    guard current == byte else { return false }
    advance()
    return true
  }

  mutating func skipLine() {
    while let byte = current, byte != UInt8(ascii: "\n") { advance() }
  }

  /// To the next key or header; false at the end.
  mutating func skipToKey() -> Bool {
    while let byte = current {
      switch byte {
      case UInt8(ascii: "#"): skipLine()
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): advance()
      default: return true
      }
    }
    return false
  }

  /// A key, dotted or not, without its quotes; ends at `=` or `]`.
  mutating func key() -> String {
    var out: [UInt8] = []
    while let byte = current, byte != UInt8(ascii: "="), byte != UInt8(ascii: "]"), byte != UInt8(ascii: "\n") {
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
        let start = position + 1
        skipString(byte)
        out += bytes[min(start, position)..<max(start, position - 1)]
      } else {
        if byte != UInt8(ascii: " "), byte != UInt8(ascii: "\t") { out.append(byte) }
        advance()
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// `=` and what follows, to the end of its last line.
  mutating func skipValue() {
    var depth = 0
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "'"): skipString(byte)
      case UInt8(ascii: "#"): skipLine()
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        depth += 1
        advance()
      case UInt8(ascii: "]"), UInt8(ascii: "}"):
        depth -= 1
        advance()
      case UInt8(ascii: "\n") where depth <= 0: return
      default: advance()
      }
    }
  }

  /// A string of any of the four kinds: basic or literal, on one line or several.
  private mutating func skipString(_ quote: UInt8) {
    let long = position + 2 < bytes.count && bytes[position + 1] == quote && bytes[position + 2] == quote
    let closing = Array(repeating: quote, count: long ? 3 : 1)
    advance(closing.count)
    while position < bytes.count {
      if bytes[position] == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        advance(2)
      } else if bytes[position...].starts(with: closing) {
        advance(closing.count)
        // A long string may end in quotes of its own.
        while long, current == quote { advance() }
        return
      } else {
        advance()
      }
    }
  }
}
