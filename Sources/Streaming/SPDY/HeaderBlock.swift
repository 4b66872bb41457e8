import Common
import NIOCore

/// A SPDY/3 name/value block (2.6.10): names in lower case, as the protocol wants them.
struct HeaderBlock: Hashable, Sendable {
  static let maximumCount = 64

  private(set) var values: [String: String]

  init(_ values: [String: String] = [:]) { self.values = values }

  subscript(name: String) -> String? { values[name] }

  /// Parses an inflated block.
  init(parsing bytes: [UInt8]) throws(SPDYViolation) {
    var buffer = ByteBuffer(bytes: bytes)
    guard let count = buffer.readInteger(as: UInt32.self) else { throw .badHeaders("no count") }
    guard count <= Self.maximumCount else { throw .badHeaders("\(count) headers") }
    values = [:]
    for _ in 0..<count {
      guard let name = Self.text(&buffer), let value = Self.text(&buffer) else { throw .badHeaders("cut off") }
      guard !name.isEmpty else { throw .badHeaders("a header without a name") }
      guard values.updateValue(value, forKey: name.lowercased()) == nil else {
        throw .badHeaders("\(printable(name, limit: 64)) twice")
      }
    }
    guard buffer.readableBytes == 0 else { throw .badHeaders("\(buffer.readableBytes) bytes too many") }
  }

  private static func text(_ buffer: inout ByteBuffer) -> String? {
    guard let length = buffer.readInteger(as: UInt32.self), length <= HeaderInflater.maximumSize else { return nil }
    return buffer.readString(length: Int(length))
  }

  /// The block before compression.
  var encoded: [UInt8] {
    var buffer = ByteBuffer(integer: UInt32(values.count))
    for (name, value) in values.sorted(by: { $0.key < $1.key }) {
      for text in [name, value] {
        buffer.writeInteger(UInt32(text.utf8.count))
        buffer.writeString(text)
      }
    }
    return Array(buffer.readableBytesView)
  }
}
