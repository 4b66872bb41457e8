#if canImport(Glibc)
  import Glibc
#endif

/// An IPv4 or IPv6 address, in network order.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
  public enum Family: Sendable { case v4, v6 }

  public let bytes: [UInt8]

  /// Nil unless there are 4 or 16 bytes.
  public init?(bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    self.bytes = bytes
  }

  /// Nil unless it is an address as inet_pton(3) reads them.
  public init?(_ text: String) {
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 {
      self.bytes = Array(bytes.prefix(4))
    } else if inet_pton(AF_INET6, text, &bytes) == 1 {
      self.bytes = bytes
    } else {
      return nil
    }
  }

  public var family: Family { bytes.count == 4 ? .v4 : .v6 }
  var familyNumber: UInt8 { UInt8(family == .v4 ? AF_INET : AF_INET6) }

  public var isLinkLocal: Bool {
    family == .v4 ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80
  }
  public var isMulticast: Bool { family == .v4 ? bytes[0] & 0xf0 == 0xe0 : bytes[0] == 0xff }

  public var description: String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(Int32(familyNumber), bytes, &text, socklen_t(text.count)) != nil else { return "?" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// An address with how many of its first bits name the network.
public struct IPPrefix: Hashable, Sendable, CustomStringConvertible {
  public let address: IPAddress
  public let length: UInt8

  /// Nil if the length is more than the address has bits.
  public init?(_ address: IPAddress, length: UInt32) {
    guard length <= UInt32(address.bytes.count * 8) else { return nil }
    self.address = address
    self.length = UInt8(length)
  }

  /// "192.0.2.1/24"
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(String(parts[0])), let length = UInt32(parts[1]) else { return nil }
    self.init(address, length: length)
  }

  public var description: String { "\(address)/\(length)" }
}

/// An Ethernet address.
public struct HardwareAddress: Hashable, Sendable, CustomStringConvertible {
  public let bytes: [UInt8]

  /// Nil unless there are six bytes.
  public init?(bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count == 6 else { return nil }
    self.bytes = bytes
  }

  /// With these 40 bits, and the mark of an address that no maker has given (IEEE 802, 8.4).
  public init(locallyAdministered bits: UInt64) {
    bytes = [2] + (0..<5).map { UInt8(truncatingIfNeeded: bits >> (32 - 8 * UInt64($0))) }
  }

  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
