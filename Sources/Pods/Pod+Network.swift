import AgentProtocol
import Common
import FoundationEssentials
import Hypervisor
import Netlink
import PodNetwork

/// What a pod's network comes to, once plugins have run: for the guest, and for status.
struct PodNetworkSetup: Sendable {
  var interfaces: [PodInterface] = []
  var addresses: [String] = []
  var sysctls: [String: String] = [:]
}

extension Pod {
  /// Makes the namespace, and in it the taps of a machine with `count` network cards.
  func makeNamespace(cards count: Int) async throws {
    let path = services.configuration.networkNamespace(id)
    try await NetworkNamespace.create(at: path)
    try await makeTaps(0..<count)
  }

  /// For a machine that needs more network cards than it was born with.
  func makeTaps(_ numbers: Range<Int>) async throws {
    try await Taps.create(
      numbers, in: services.configuration.networkNamespace(id), owner: record.uid, multiQueue: record.vcpus > 1)
  }

  func machineInterfaces(_ count: Int) -> [MachineInterface] {
    (0..<count).map {
      MachineInterface(tap: Taps.name($0), macAddress: Taps.placeholder(of: id, $0).description)
    }
  }

  /// Runs the CNI plugins. What they make is released as a resource of the pod's.
  func attachNetwork() async throws -> NodeNetwork.Attached {
    let metadata = record.spec.metadata
    let configuration = services.configuration
    let capabilities = (record.spec.network ?? PodNetworkSpec()).capabilities(
      annotations: configuration.addressAnnotations ? record.spec.annotations : [:],
      cgroupParent: record.spec.cgroupParent)
    let attached = try await services.network.attach(
      .init(
        id: id, namespace: metadata.namespace, name: metadata.name, uid: metadata.uid, capabilities: capabilities),
      to: configuration.networkNamespace(id), record: configuration.attachments(id))
    for remark in attached.remarks { logger.warning("CNI configuration", metadata: ["problem": "\(remark)"]) }
    return attached
  }

  func joinNetwork(_ attached: NodeNetwork.Attached) async throws -> PodNetworkSetup {
    let interfaces = try await services.network.join(attached, in: services.configuration.networkNamespace(id))
    return PodNetworkSetup(interfaces: interfaces, addresses: attached.addresses, sysctls: attached.sysctls)
  }

  /// Asks plugins whether the network of a pod that was found running is still as they made it.
  func checkNetwork() async {
    do { try await services.network.check(record: services.configuration.attachments(id)) } catch {
      logger.warning(
        "the pod's network is no longer as its plugins made it", metadata: ["error": "\(error)"])
    }
  }

  /// As the guest is told of the interfaces.
  func networkInterfaces(_ setup: PodNetworkSetup) -> [Bulkhead_Agent_V1_NetworkInterface] {
    setup.interfaces.enumerated().map { number, interface in
      .with {
        $0.bootHardwareAddress = Data(Taps.placeholder(of: id, number).bytes)
        $0.name = interface.name
        $0.hardwareAddress = Data(interface.hardwareAddress.bytes)
        $0.mtu = interface.mtu
        $0.addresses = interface.addresses.map { address in
          .with {
            $0.address = Data(address.prefix.address.bytes)
            $0.prefixLength = UInt32(address.prefix.length)
            $0.scope = UInt32(address.scope)
          }
        }
        $0.routes = interface.routes.map(Bulkhead_Agent_V1_NetworkRoute.init)
        $0.neighbours = interface.neighbours.map { neighbour in
          .with {
            $0.address = Data(neighbour.address.bytes)
            $0.hardwareAddress = Data(neighbour.hardwareAddress.bytes)
          }
        }
      }
    }
  }
}

extension Bulkhead_Agent_V1_NetworkRoute {
  fileprivate init(_ route: Route) {
    self = .with {
      $0.destination = Data(route.destination.address.bytes)
      $0.prefixLength = UInt32(route.destination.length)
      if let gateway = route.gateway { $0.gateway = Data(gateway.bytes) }
      if let source = route.source { $0.source = Data(source.bytes) }
      $0.scope = UInt32(route.scope)
      $0.priority = route.priority
      $0.mtu = route.mtu
      $0.advertisedMss = route.advertisedMSS
      $0.onLink = route.onLink
    }
  }
}
