/// The `grpc-message` header's percent encoding: everything but printable ASCII, and the percent sign
/// itself, becomes `%XX` of its UTF-8 bytes.
enum StatusMessage {
  /// Longer messages are cut: C-core refuses a whole header list of more than 8 KiB by default, and the
  /// caller would see that error instead of ours.
  static let maxEncodedLength = 4096

  static func encode(_ message: String) -> String {
    if message.utf8.count <= maxEncodedLength, message.utf8.allSatisfy(isLiteral) { return message }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(message.utf8.count)
    for scalar in message.unicodeScalars {
      let mark = bytes.count
      for byte in String(scalar).utf8 { append(byte, to: &bytes) }
      if bytes.count > maxEncodedLength {
        bytes.removeSubrange(mark...)
        break
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Never fails: what is not a valid escape stands for itself, as the specification asks.
  static func decode(_ encoded: String) -> String {
    guard encoded.utf8.contains(UInt8(ascii: "%")) else { return encoded }
    let source = Array(encoded.utf8)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(source.count)
    var index = 0
    while index < source.count {
      if source[index] == UInt8(ascii: "%"), index + 2 < source.count,
        let high = nibble(source[index + 1]), let low = nibble(source[index + 2])
      {
        bytes.append(high << 4 | low)
        index += 3
      } else {
        bytes.append(source[index])
        index += 1
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func isLiteral(_ byte: UInt8) -> Bool {
    (0x20...0x7e).contains(byte) && byte != UInt8(ascii: "%")
  }

  private static func append(_ byte: UInt8, to bytes: inout [UInt8]) {
    if isLiteral(byte) {
      bytes.append(byte)
    } else {
      let digits = Array("0123456789ABCDEF".utf8)
      bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
  }

  private static func nibble(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
