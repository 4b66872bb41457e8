import CNetlink
import Common
import Glibc
import LinuxSystem
import Netlink

/// The host's side of a guest's network cards: a tap each, in the pod's namespace, joined to the interface
/// that the CNI plugins made there. What comes in on either goes out of the other, past this kernel's own
/// protocol stack: addresses stay on the CNI's interface, for plugins look for them there (CHECK, DEL), and
/// still nothing but the guest answers for them.
public enum Taps {
  public static func name(_ number: Int) -> String { "bhtap\(number)" }

  /// What the guest's card `number` has as its address until the guest is told the real one.
  public static func placeholder(of pod: PodID, _ number: Int) -> HardwareAddress {
    HardwareAddress(locallyAdministered: (UInt64(pod.text.prefix(8), radix: 16) ?? 0) << 8 | UInt64(number & 0xff))
  }

  /// Makes taps that `owner` may open, with a queue for each processor where there are several.
  public static func create(_ numbers: Range<Int>, in namespace: String, owner: UInt32, multiQueue: Bool) async throws {
    do {
      try await NetworkNamespace.run(in: namespace) {
        for number in numbers {
          let name = Taps.name(number)
          try systemCall("make tap", subject: name) { netlink_make_tap(name, owner, multiQueue ? 1 : 0) }
          try disableIPv6(link: name)
        }
      }
    } catch {
      throw BulkheadError(.internalError, "cannot make the virtual machine's network cards", cause: error)
    }
  }

  /// Reads the interfaces with these names, and joins the first to tap 0 and so on. Throws `internalError` for a
  /// name that isn't there.
  static func join(_ names: [String], in namespace: String) async throws -> [PodInterface] {
    try await NetworkNamespace.run(in: namespace) {
      var socket = try NetlinkSocket()
      let interfaces = try socket.podInterfaces(named: names)
      let links = try socket.links()
      for (number, name) in names.enumerated() {
        guard let interface = interfaces.first(where: { $0.name == name }) else {
          throw BulkheadError(
            .internalError,
            "the CNI plugins have made no Ethernet interface \(printable(name, limit: 16)) in the pod's namespace")
        }
        guard let tap = links.first(where: { $0.name == Taps.name(number) }) else {
          throw BulkheadError(.internalError, "there is no tap for \(printable(name, limit: 16))")
        }
        try socket.redirect(from: interface.index, to: tap.index)
        try socket.redirect(from: tap.index, to: interface.index)
        try socket.change(link: tap.index, LinkChange(mtu: interface.mtu, isUp: true))
        try socket.change(link: interface.index, LinkChange(isUp: true))
      }
      return interfaces
    }
  }
}
