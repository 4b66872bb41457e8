import CNetlink
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A unicast route of the main table over one link, or one path of a route over several.
public struct Route: Sendable, Equatable {
  public var link: Int32
  public var destination: IPPrefix
  /// Nil: on the link itself.
  public var gateway: IPAddress?
  /// The address that packets on it are sent from; nil: the kernel's choice.
  public var source: IPAddress?
  /// RT_SCOPE_*: 0 universe, 253 link.
  public var scope: UInt8
  /// Lower is preferred; 0: the kernel's default.
  public var priority: UInt32
  /// 0: the link's.
  public var mtu: UInt32
  /// 0: from the MTU.
  public var advertisedMSS: UInt32
  /// The gateway is reachable on the link though no other route says so.
  public var onLink: Bool

  public init(
    link: Int32, destination: IPPrefix, gateway: IPAddress?, source: IPAddress?, scope: UInt8, priority: UInt32,
    mtu: UInt32, advertisedMSS: UInt32, onLink: Bool
  ) {
    self.link = link
    self.destination = destination
    self.gateway = gateway
    self.source = source
    self.scope = scope
    self.priority = priority
    self.mtu = mtu
    self.advertisedMSS = advertisedMSS
    self.onLink = onLink
  }
}

extension NetlinkSocket {
  /// The unicast routes of the main table, in the order in which they are looked up; one over several paths is
  /// several.
  public mutating func routes() throws(SystemError) -> [Route] {
    var found: [Route] = []
    for family in [AF_INET, AF_INET6] {
      var request = NetlinkRequest("list routes", type: RTM_GETROUTE, flags: NLM_F_DUMP)
      request.append(UInt8(family))
      for _ in 0..<3 { request.append(UInt8(0)) }
      request.append(UInt32(0))
      request.append(UInt32(0))
      try dump(request) { body in
        found += Route.routes(body, family: family)
      }
    }
    return found
  }

  /// Where there is one to the same destination, IPv4 prefers the new one from now on, and IPv6 uses both, as CNI's
  /// plugins have it when several networks give a default route.
  public mutating func add(_ route: Route) throws(SystemError) {
    var request = NetlinkRequest(
      "add route \(route.destination)", type: RTM_NEWROUTE, flags: NLM_F_ACK | NLM_F_CREATE)
    request.append(route.destination.address.familyNumber)
    request.append(route.destination.length)
    for _ in 0..<2 { request.append(UInt8(0)) }
    request.append(UInt8(RT_TABLE_MAIN.rawValue))
    request.append(UInt8(RTPROT_STATIC))
    request.append(route.scope)
    request.append(UInt8(RTN_UNICAST))
    request.append(route.onLink ? UInt32(RTNH_F_ONLINK) : 0)
    if route.destination.length > 0 { request.attribute(Int(RTA_DST.rawValue), route.destination.address.bytes) }
    request.attribute(Int(RTA_OIF.rawValue), UInt32(bitPattern: route.link))
    if let gateway = route.gateway { request.appendGateway(gateway, of: route) }
    if let source = route.source { request.attribute(Int(RTA_PREFSRC.rawValue), source.bytes) }
    if route.priority != 0 { request.attribute(Int(RTA_PRIORITY.rawValue), route.priority) }
    if route.mtu != 0 || route.advertisedMSS != 0 {
      request.nested(Int(RTA_METRICS.rawValue)) {
        if route.mtu != 0 { $0.attribute(Int(RTAX_MTU), route.mtu) }
        if route.advertisedMSS != 0 { $0.attribute(Int(RTAX_ADVMSS), route.advertisedMSS) }
      }
    }
    try perform(request)
  }
}

extension NetlinkRequest {
  /// An IPv4 network behind an IPv6 gateway is said otherwise (RFC 5549).
  fileprivate mutating func appendGateway(_ gateway: IPAddress, of route: Route) {
    if gateway.family == route.destination.address.family {
      attribute(Int(RTA_GATEWAY.rawValue), gateway.bytes)
    } else {
      nested(Int(RTA_VIA.rawValue)) {
        $0.append(UInt16(gateway.familyNumber))
        for byte in gateway.bytes { $0.append(byte) }
      }
    }
  }
}

extension Route {
  fileprivate static func routes(_ body: NetlinkReader, family: Int32) -> [Route] {
    let attributes = body.attributes(from: 12)
    guard body.number(UInt8.self, at: 0) == UInt8(family), let length = body.number(UInt8.self, at: 1),
      let scope = body.number(UInt8.self, at: 6), body.number(UInt8.self, at: 7) == UInt8(RTN_UNICAST),
      let flags = body.number(UInt32.self, at: 8), flags & UInt32(RTM_F_CLONED) == 0,
      attributes[Int(RTA_TABLE.rawValue)]?.number(UInt32.self, at: 0) == RT_TABLE_MAIN.rawValue
    else { return [] }
    let none = [UInt8](repeating: 0, count: family == AF_INET ? 4 : 16)
    guard let address = attributes[Int(RTA_DST.rawValue)]?.address ?? IPAddress(bytes: none),
      let destination = IPPrefix(address, length: UInt32(length))
    else { return [] }
    let metrics = attributes[Int(RTA_METRICS.rawValue)]?.attributes(from: 0) ?? [:]
    return hops(attributes, flags: flags).map { hop in
      Route(
        link: hop.link, destination: destination, gateway: hop.gateway,
        source: attributes[Int(RTA_PREFSRC.rawValue)]?.address, scope: scope,
        priority: attributes[Int(RTA_PRIORITY.rawValue)]?.number(at: 0) ?? 0,
        mtu: metrics[Int(RTAX_MTU)]?.number(at: 0) ?? 0,
        advertisedMSS: metrics[Int(RTAX_ADVMSS)]?.number(at: 0) ?? 0,
        onLink: hop.flags & UInt32(RTNH_F_ONLINK) != 0)
    }
  }

  private typealias Hop = (link: Int32, gateway: IPAddress?, flags: UInt32)

  /// A route's one path, or those of its list (struct rtnexthop).
  private static func hops(_ attributes: [Int: NetlinkReader], flags: UInt32) -> [Hop] {
    if let link = attributes[Int(RTA_OIF.rawValue)]?.number(Int32.self, at: 0) {
      return [(link, gateway(attributes), flags)]
    }
    var found: [Hop] = []
    var rest = attributes[Int(RTA_MULTIPATH.rawValue)] ?? NetlinkReader([])
    while let length = rest.number(UInt16.self, at: 0).map(Int.init), length >= 8, length <= rest.count,
      let flags = rest.number(UInt8.self, at: 2), let link = rest.number(Int32.self, at: 4)
    {
      found.append((link, gateway(rest.prefix(length).attributes(from: 8)), UInt32(flags)))
      rest = rest.suffix(from: (length + 3) & ~3)
    }
    return found
  }

  private static func gateway(_ attributes: [Int: NetlinkReader]) -> IPAddress? {
    attributes[Int(RTA_GATEWAY.rawValue)]?.address
      ?? attributes[Int(RTA_VIA.rawValue)].flatMap { $0.suffix(from: 2).address }
  }
}
