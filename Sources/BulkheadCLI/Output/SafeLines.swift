import Common

/// Lines of a guest's console made safe for a terminal: escape sequences taken out, other control
/// characters escaped. Pure; a line comes out when it has ended or has grown long.
struct SafeLines {
  private var pending: [UInt8] = []
  private static let longest = 16 << 10

  mutating func feed(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    for byte in bytes {
      if byte == UInt8(ascii: "\n") || pending.count == Self.longest { flush(&out) }
      if byte != UInt8(ascii: "\n") { pending.append(byte) }
    }
    return out
  }

  mutating func end() -> [UInt8] {
    var out: [UInt8] = []
    if !pending.isEmpty { flush(&out) }
    return out
  }

  private mutating func flush(_ out: inout [UInt8]) {
    // Serial consoles end lines in CR LF.
    while pending.last == UInt8(ascii: "\r") { pending.removeLast() }
    let text = String(decoding: pending, as: UTF8.self).replacing(escapeSequences, with: "").replacing(
      "\t", with: "    ")
    out += printable(text, limit: .max).utf8
    out.append(UInt8(ascii: "\n"))
    pending.removeAll(keepingCapacity: true)
  }
}

/// ECMA-48: control sequences (colours, cursor), and the two-byte ones that firmware begins with.
/// Unsafe only in name: a literal that nothing changes, of a type that is not declared Sendable.
private nonisolated(unsafe) let escapeSequences = /\x{1b}(?:\[[0-?]*[ -\/]*[@-~]|[@-Z\\^_a-z])/
