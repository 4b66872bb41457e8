/// An identifier of 64 lower-case hex digits, as the CRI's clients know pods and containers.
public struct ObjectID<Kind>: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let text: String

  /// Nil unless `text` is exactly 64 lower-case hex digits.
  public init?(_ text: String) {
    guard text.utf8.count == 64, text.utf8.allSatisfy(isLowerHex) else { return nil }
    self.text = text
  }

  /// A new random identifier (256 bits from the system's generator).
  public static func random() -> Self {
    var generator = SystemRandomNumberGenerator()
    let bytes = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
    return Self(unchecked: hexString(bytes))
  }

  private init(unchecked text: String) { self.text = text }

  /// The first 13 digits: what tables show, as crictl does.
  public var short: String { String(text.prefix(13)) }
  public var description: String { text }
  public static func < (a: Self, b: Self) -> Bool { a.text < b.text }
}

public enum PodKind {}
public enum ContainerKind {}
public typealias PodID = ObjectID<PodKind>
public typealias ContainerID = ObjectID<ContainerKind>

/// A content digest, `sha256:` and 64 hex digits (OCI image specification, descriptor.md).
public struct Digest: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// The 64 hex digits after the algorithm.
  public let hex: String

  /// Nil unless `text` is `sha256:` followed by 64 lower-case hex digits.
  public init?(_ text: String) {
    guard text.hasPrefix("sha256:") else { return nil }
    self.init(hex: String(text.dropFirst(7)))
  }

  public init?(hex: String) {
    guard hex.utf8.count == 64, hex.utf8.allSatisfy(isLowerHex) else { return nil }
    self.hex = hex
  }

  public var description: String { "sha256:\(hex)" }
  public static func < (a: Self, b: Self) -> Bool { a.hex < b.hex }
}

private func isLowerHex(_ byte: UInt8) -> Bool {
  (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
}

/// Lower-case hex digits, two a byte.
public func hexString(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  var out: [UInt8] = []
  for byte in bytes {
    out.append(digits[Int(byte >> 4)])
    out.append(digits[Int(byte & 15)])
  }
  return String(decoding: out, as: UTF8.self)
}
