import CNetlink
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A neighbour whose hardware address is set for good, not learned.
public struct Neighbour: Sendable, Equatable {
  public var link: Int32
  public var address: IPAddress
  public var hardwareAddress: HardwareAddress

  public init(link: Int32, address: IPAddress, hardwareAddress: HardwareAddress) {
    self.link = link
    self.address = address
    self.hardwareAddress = hardwareAddress
  }
}

extension NetlinkSocket {
  public mutating func permanentNeighbours() throws(SystemError) -> [Neighbour] {
    var request = NetlinkRequest("list neighbours", type: RTM_GETNEIGH, flags: NLM_F_DUMP)
    request.appendNeighbourHeader()
    var found: [Neighbour] = []
    try dump(request) { body in
      if let neighbour = Neighbour(body) { found.append(neighbour) }
    }
    return found
  }

  public mutating func add(_ neighbour: Neighbour) throws(SystemError) {
    var request = NetlinkRequest(
      "add neighbour \(neighbour.address)", type: RTM_NEWNEIGH, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
    request.appendNeighbourHeader(neighbour)
    request.attribute(Int(NDA_DST), neighbour.address.bytes)
    request.attribute(Int(NDA_LLADDR), neighbour.hardwareAddress.bytes)
    try perform(request)
  }
}

extension NetlinkRequest {
  /// struct ndmsg
  fileprivate mutating func appendNeighbourHeader(_ neighbour: Neighbour? = nil) {
    append(neighbour?.address.familyNumber ?? UInt8(AF_UNSPEC))
    append(UInt8(0))
    append(UInt16(0))
    append(neighbour?.link ?? 0)
    append(neighbour == nil ? 0 : UInt16(NUD_PERMANENT))
    append(UInt8(0))
    append(UInt8(0))
  }
}

extension Neighbour {
  fileprivate init?(_ body: NetlinkReader) {
    let attributes = body.attributes(from: 12)
    guard let link = body.number(Int32.self, at: 4), body.number(UInt16.self, at: 8) == UInt16(NUD_PERMANENT),
      let address = attributes[Int(NDA_DST)]?.address, !address.isMulticast,
      let hardwareAddress = attributes[Int(NDA_LLADDR)]?.hardwareAddress
    else { return nil }
    self.init(link: link, address: address, hardwareAddress: hardwareAddress)
  }
}
