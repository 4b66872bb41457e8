import AgentProtocol
import GRPCCore
import Netlink

/// What one of the guest's network cards is to become, validated.
struct InterfacePlan: Sendable {
  /// What it is found by.
  var bootAddress: HardwareAddress
  var name: String
  var hardwareAddress: HardwareAddress
  var mtu: UInt32
  /// Their links' numbers are not known before the card is found: 0.
  var addresses: [LinkAddress]
  var routes: [Route]
  var neighbours: [Neighbour]
}

extension InterfacePlan {
  /// Throws INVALID_ARGUMENT.
  init(_ message: Bulkhead_Agent_V1_NetworkInterface) throws {
    guard let boot = HardwareAddress(bytes: message.bootHardwareAddress),
      let own = HardwareAddress(bytes: message.hardwareAddress)
    else { throw invalid("interfaces: a hardware address is not of six bytes") }
    guard (1...15).contains(message.name.utf8.count),
      message.name.utf8.allSatisfy({ isAlphanumeric($0) || [0x2d, 0x2e, 0x5f].contains($0) }), message.name != "lo"
    else { throw invalid("interfaces: no name of 1 to 15 letters and digits") }
    guard (68...65535).contains(message.mtu) else { throw invalid("interfaces: the MTU is not 68 to 65535") }
    bootAddress = boot
    name = message.name
    hardwareAddress = own
    mtu = message.mtu
    addresses = try message.addresses.map { entry in
      LinkAddress(
        link: 0, prefix: try prefix([UInt8](entry.address), entry.prefixLength), scope: UInt8(clamping: entry.scope))
    }
    routes = try message.routes.map(Self.route)
    neighbours = try message.neighbours.map { entry in
      guard let hardware = HardwareAddress(bytes: entry.hardwareAddress) else {
        throw invalid("interfaces: a neighbour's hardware address is not of six bytes")
      }
      return Neighbour(link: 0, address: try address([UInt8](entry.address)), hardwareAddress: hardware)
    }
  }

  private static func route(_ entry: Bulkhead_Agent_V1_NetworkRoute) throws -> Route {
    Route(
      link: 0, destination: try prefix([UInt8](entry.destination), entry.prefixLength),
      gateway: entry.gateway.isEmpty ? nil : try address([UInt8](entry.gateway)),
      source: entry.source.isEmpty ? nil : try address([UInt8](entry.source)), scope: UInt8(clamping: entry.scope),
      priority: entry.priority, mtu: entry.mtu, advertisedMSS: entry.advertisedMss, onLink: entry.onLink)
  }
}

private func address(_ bytes: [UInt8]) throws -> IPAddress {
  guard let address = IPAddress(bytes: bytes) else { throw invalid("interfaces: an address is not of 4 or 16 bytes") }
  return address
}

private func prefix(_ bytes: [UInt8], _ length: UInt32) throws -> IPPrefix {
  guard let prefix = IPPrefix(try address(bytes), length: length) else {
    throw invalid("interfaces: a prefix is longer than its address")
  }
  return prefix
}
