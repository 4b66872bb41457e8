import CNetlink
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// An address of a link.
public struct LinkAddress: Sendable, Equatable {
  public var link: Int32
  public var prefix: IPPrefix
  /// RT_SCOPE_*: 0 universe, 253 link.
  public var scope: UInt8

  public init(link: Int32, prefix: IPPrefix, scope: UInt8) {
    self.link = link
    self.prefix = prefix
    self.scope = scope
  }
}

extension NetlinkSocket {
  public mutating func addresses() throws(SystemError) -> [LinkAddress] {
    var request = NetlinkRequest("list addresses", type: RTM_GETADDR, flags: NLM_F_DUMP)
    request.appendAddressHeader()
    var found: [LinkAddress] = []
    try dump(request) { body in
      if let address = LinkAddress(body) { found.append(address) }
    }
    return found
  }

  /// Adds an address at once usable, without the route to its network that the kernel would add by itself.
  public mutating func add(_ address: LinkAddress) throws(SystemError) {
    var request = NetlinkRequest(
      "add address \(address.prefix)", type: RTM_NEWADDR, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
    request.appendAddressHeader(address)
    request.attribute(IFA_LOCAL, address.prefix.address.bytes)
    request.attribute(IFA_ADDRESS, address.prefix.address.bytes)
    request.attribute(IFA_FLAGS, UInt32(IFA_F_NOPREFIXROUTE | IFA_F_NODAD))
    if let broadcast = address.prefix.broadcast { request.attribute(IFA_BROADCAST, broadcast) }
    try perform(request)
  }
}

extension IPPrefix {
  /// Of an IPv4 network that has one.
  fileprivate var broadcast: [UInt8]? {
    guard address.family == .v4, length < 31 else { return nil }
    return address.bytes.enumerated().map { index, byte in
      let host = min(max((index + 1) * 8 - Int(length), 0), 8)
      return byte | UInt8(truncatingIfNeeded: (1 << host) - 1)
    }
  }
}

extension NetlinkRequest {
  /// struct ifaddrmsg
  fileprivate mutating func appendAddressHeader(_ address: LinkAddress? = nil) {
    append(address?.prefix.address.familyNumber ?? UInt8(AF_UNSPEC))
    append(address?.prefix.length ?? 0)
    append(UInt8(0))
    append(address?.scope ?? 0)
    append(address?.link ?? 0)
  }
}

extension LinkAddress {
  fileprivate init?(_ body: NetlinkReader) {
    let attributes = body.attributes(from: 8)
    // IFA_ADDRESS is the other end's on a point-to-point link.
    guard let length = body.number(UInt8.self, at: 1), let scope = body.number(UInt8.self, at: 3),
      let link = body.number(Int32.self, at: 4),
      let address = (attributes[Int(IFA_LOCAL)] ?? attributes[Int(IFA_ADDRESS)])?.address,
      let prefix = IPPrefix(address, length: UInt32(length))
    else { return nil }
    self.init(link: link, prefix: prefix, scope: scope)
  }
}
