import CNetlink
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A network interface as the kernel describes it.
public struct Link: Sendable, Equatable {
  public var index: Int32
  public var name: String
  /// Nil where it has none of six bytes.
  public var hardwareAddress: HardwareAddress?
  public var mtu: UInt32
  public var isUp: Bool
  public var isLoopback: Bool
}

/// What to change of a link; nil stays as it is.
public struct LinkChange: Sendable {
  public var name: String?
  public var hardwareAddress: HardwareAddress?
  public var mtu: UInt32?
  public var isUp: Bool?

  public init(
    name: String? = nil, hardwareAddress: HardwareAddress? = nil, mtu: UInt32? = nil, isUp: Bool? = nil
  ) {
    self.name = name
    self.hardwareAddress = hardwareAddress
    self.mtu = mtu
    self.isUp = isUp
  }
}

extension NetlinkSocket {
  public mutating func links() throws(SystemError) -> [Link] {
    var request = NetlinkRequest("list links", type: RTM_GETLINK, flags: NLM_F_DUMP)
    request.appendLinkHeader()
    var found: [Link] = []
    try dump(request) { body in
      if let link = Link(body) { found.append(link) }
    }
    return found
  }

  public mutating func change(link index: Int32, _ change: LinkChange) throws(SystemError) {
    var request = NetlinkRequest("change link \(index)", type: RTM_NEWLINK, flags: NLM_F_ACK)
    let up = UInt32(IFF_UP)
    request.appendLinkHeader(
      index: index, flags: change.isUp == true ? up : 0, change: change.isUp == nil ? 0 : up)
    if let address = change.hardwareAddress { request.attribute(IFLA_ADDRESS, address.bytes) }
    if let name = change.name { request.attribute(IFLA_IFNAME, name) }
    if let mtu = change.mtu { request.attribute(IFLA_MTU, mtu) }
    try perform(request)
  }

  /// Moves a link into the network namespace that the descriptor is of, under a name that is free there. It is
  /// down afterwards, without addresses.
  public mutating func move(link index: Int32, to namespace: Int32, as name: String) throws(SystemError) {
    var request = NetlinkRequest("move link \(index)", type: RTM_NEWLINK, flags: NLM_F_ACK)
    request.appendLinkHeader(index: index)
    request.attribute(IFLA_NET_NS_FD, UInt32(bitPattern: namespace))
    request.attribute(IFLA_IFNAME, name)
    try perform(request)
  }

  public mutating func remove(link index: Int32) throws(SystemError) {
    var request = NetlinkRequest("remove link \(index)", type: RTM_DELLINK, flags: NLM_F_ACK)
    request.appendLinkHeader(index: index)
    try perform(request)
  }
}

extension NetlinkRequest {
  /// struct ifinfomsg
  fileprivate mutating func appendLinkHeader(index: Int32 = 0, flags: UInt32 = 0, change: UInt32 = 0) {
    append(UInt8(AF_UNSPEC))
    append(UInt8(0))
    append(UInt16(0))
    append(index)
    append(flags)
    append(change)
  }
}

extension Link {
  fileprivate init?(_ body: NetlinkReader) {
    let attributes = body.attributes(from: 16)
    guard let index = body.number(Int32.self, at: 4), let flags = body.number(UInt32.self, at: 8),
      let name = attributes[Int(IFLA_IFNAME)]?.text
    else { return nil }
    self.index = index
    self.name = name
    hardwareAddress = attributes[Int(IFLA_ADDRESS)]?.hardwareAddress
    mtu = attributes[Int(IFLA_MTU)]?.number(at: 0) ?? 0
    isUp = flags & UInt32(IFF_UP) != 0
    isLoopback = flags & UInt32(IFF_LOOPBACK) != 0
  }
}
