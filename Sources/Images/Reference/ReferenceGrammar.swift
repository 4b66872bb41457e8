/// The productions of the reference grammar, on bytes: no character of Unicode beyond ASCII is in it.
enum Grammar {
  static func isTag(_ text: Substring) -> Bool {
    guard let first = text.utf8.first, isWord(first), text.utf8.count <= 128 else { return false }
    return text.utf8.allSatisfy { isWord($0) || $0 == dot || $0 == dash }
  }

  /// Host name or IPv6 address in brackets, and a port.
  static func isDomain(_ text: String) -> Bool {
    var host = Substring(text)
    if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") {
      let port = host[host.index(after: colon)...]
      guard let number = UInt32(port), (1...65535).contains(number), port.utf8.allSatisfy(isDigit) else { return false }
      host = host[..<colon]
    }
    if host.hasPrefix("["), host.hasSuffix("]") {
      let address = host.dropFirst().dropLast()
      return !address.isEmpty && address.utf8.allSatisfy { isHex($0) || $0 == UInt8(ascii: ":") }
    }
    return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isLabel)
  }

  /// Components of lower-case letters and digits, parted by '.', '_', '__' or dashes, joined by '/'.
  static func isPath(_ text: String) -> Bool {
    text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(isPathComponent)
  }

  static func isHex64(_ text: Substring) -> Bool {
    text.utf8.count == 64 && text.utf8.allSatisfy(isLowerHex)
  }

  private static func isLabel(_ label: Substring) -> Bool {
    guard let first = label.utf8.first, let last = label.utf8.last else { return false }
    return first != dash && last != dash && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == dash }
  }

  private static func isPathComponent(_ component: Substring) -> Bool {
    guard let last = component.utf8.last, isLowerAlphanumeric(last) else { return false }
    var separator: [UInt8] = []
    var isFirst = true
    for byte in component.utf8 {
      if isLowerAlphanumeric(byte) {
        guard isFirst ? separator.isEmpty : isSeparator(separator) else { return false }
        separator = []
        isFirst = false
      } else {
        separator.append(byte)
      }
    }
    return true
  }

  private static func isSeparator(_ bytes: [UInt8]) -> Bool {
    switch bytes {
    case [], [dot], [underscore], [underscore, underscore]: true
    default: bytes.allSatisfy { $0 == dash }
    }
  }

  private static let dot = UInt8(ascii: ".")
  private static let dash = UInt8(ascii: "-")
  private static let underscore = UInt8(ascii: "_")

  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
  private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
  }
  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    isLowerAlphanumeric(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }
  private static func isWord(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || byte == underscore }
  private static func isLowerHex(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }
  private static func isHex(_ byte: UInt8) -> Bool {
    isLowerHex(byte) || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte)
  }
}
