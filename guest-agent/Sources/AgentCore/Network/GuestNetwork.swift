import GRPCCore
import Glibc
import LinuxSystem
import Netlink

/// Makes the guest's network cards the pod's interfaces.
enum GuestNetwork {
  /// Blocks. Throws FAILED_PRECONDITION that names the interface.
  static func configure(_ plans: [InterfacePlan]) throws {
    var socket = try NetlinkSocket()
    let links = try socket.links()
    for (number, plan) in plans.enumerated() {
      guard let link = links.first(where: { $0.hardwareAddress == plan.bootAddress }) else {
        throw RPCError(code: .failedPrecondition, message: "there is no network card \(plan.bootAddress)")
      }
      // Another card may have the name that this one is to get.
      if let other = links.first(where: { $0.name == plan.name && $0.index != link.index }) {
        try socket.change(link: other.index, LinkChange(name: "spare\(number)"))
      }
      do { try configure(link.index, plan, &socket) } catch {
        throw RPCError(code: .failedPrecondition, message: "interface \(plan.name) can't be configured: \(error)")
      }
    }
    if links.count(where: { !$0.isLoopback }) > plans.count { removeSpares(except: plans, try socket.links()) }
  }

  /// Machines are born with as many cards as any pod of the node had: this pod is not to see those that it has no
  /// use for.
  private static func removeSpares(except plans: [InterfacePlan], _ links: [Link]) {
    for link in links where !link.isLoopback && !plans.contains(where: { $0.name == link.name }) {
      // The PCI device that the card's virtio device belongs to; what has none is the kernel's own.
      let path = "/sys/class/net/\(link.name)/device/../remove"
      if access(path, F_OK) == 0 { Boot.attempt { try writeFile(path, Array("1".utf8)) } }
    }
  }

  private static func configure(_ link: Int32, _ plan: InterfacePlan, _ socket: inout NetlinkSocket) throws {
    try socket.change(
      link: link, LinkChange(name: plan.name, hardwareAddress: plan.hardwareAddress, mtu: plan.mtu))
    try announceWhenUp(plan.name)
    for var address in plan.addresses {
      address.link = link
      try socket.add(address)
    }
    try socket.change(link: link, LinkChange(isUp: true))
    // What is on the link itself first: the gateways of the others.
    for var route in plan.routes.sorted(by: { $0.gateway == nil && $1.gateway != nil }) {
      route.link = link
      try socket.add(route)
    }
    for var neighbour in plan.neighbours {
      neighbour.link = link
      try socket.add(neighbour)
    }
  }

  /// An address may have been another pod's a moment ago, whose hardware address neighbours remember for half a
  /// minute, and not every plugin announces the new one.
  private static func announceWhenUp(_ name: String) throws {
    for setting in ["ipv4/conf/\(name)/arp_notify", "ipv6/conf/\(name)/ndisc_notify"] {
      let path = "/proc/sys/net/\(setting)"
      // A kernel without IPv6, or an MTU too small for it.
      if access(path, F_OK) == 0 { try writeFile(path, Array("1".utf8)) }
    }
  }
}
