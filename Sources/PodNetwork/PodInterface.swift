import Netlink

/// An interface of a pod as the CNI plugins left it in the pod's namespace: what the guest's own is to be.
public struct PodInterface: Sendable, Equatable {
  public var name: String
  public var hardwareAddress: HardwareAddress
  public var mtu: UInt32
  public var addresses: [LinkAddress]
  public var routes: [Route]
  public var neighbours: [Neighbour]
  /// Its number in the pod's namespace on the host.
  let index: Int32
}

extension NetlinkSocket {
  /// The interfaces with these names, with all that belongs to them but what the kernel makes by itself.
  mutating func podInterfaces(named names: [String]) throws -> [PodInterface] {
    let links = try links()
    let addresses = try addresses()
    let routes = try routes()
    let neighbours = try permanentNeighbours()
    return names.compactMap { name in
      guard let link = links.first(where: { $0.name == name }), !link.isLoopback,
        let hardwareAddress = link.hardwareAddress
      else { return nil }
      return PodInterface(
        name: name, hardwareAddress: hardwareAddress, mtu: link.mtu,
        // The guest's kernel makes its own of fe80::/64, and of multicast.
        addresses: addresses.filter { $0.link == link.index && !$0.prefix.address.isIPv6LinkLocal },
        routes: routes.filter { $0.link == link.index && $0.isCopied },
        neighbours: neighbours.filter { $0.link == link.index }, index: link.index)
    }
  }
}

extension IPAddress {
  var isIPv6LinkLocal: Bool { family == .v6 && isLinkLocal }
}

extension Route {
  fileprivate var isCopied: Bool {
    !destination.address.isMulticast && !(destination.address.isIPv6LinkLocal && destination.length >= 10)
  }
}
