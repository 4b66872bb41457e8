import CNI
import Common
import Foundation
import PodNetwork
import Testing

/// The node's networks with CNI's own plugins, in a namespace that the test makes: each plugin is reached by a
/// script that enters it first.
@Suite(.serialized) struct NodeNetworkTests {
  private static let plugins = ["bridge", "host-local", "portmap", "ptp"]

  private final class World: Sendable {
    let directory: String
    let node: String
    let network: NodeNetwork

    init(maximumNetworks: Int = 1) throws {
      directory = FileManager.default.temporaryDirectory.appendingPathComponent("node-\(UUID().uuidString)").path
      node = "bh-unit-\(UUID().uuidString.prefix(8))"
      for name in ["cni", "bin", "netns", "records"] {
        try FileManager.default.createDirectory(atPath: "\(directory)/\(name)", withIntermediateDirectories: true)
      }
      try run("ip netns add \(node) && ip -n \(node) link set lo up")
      network = NodeNetwork(
        NodeNetwork.Settings(
          configurationDirectory: "\(directory)/cni", pluginDirectories: ["\(directory)/bin"],
          maximumNetworks: maximumNetworks, isRequired: true, pluginDeadline: .seconds(30)))
      for name in NodeNetworkTests.plugins {
        // Its own plugins are called from inside, and must not enter again.
        try plugin(name, "CNI_PATH=/usr/lib/cni exec nsenter --net=/run/netns/\(node) /usr/lib/cni/\(name)")
      }
    }

    func plugin(_ name: String, _ script: String) throws {
      let path = "\(directory)/bin/\(name)"
      try Data("#!/bin/sh\n\(script)\n".utf8).write(to: URL(fileURLWithPath: path))
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }

    deinit {
      _ = try? run("ip netns delete \(node)")
      try? FileManager.default.removeItem(atPath: directory)
    }

    func configure(_ file: String, name: String, bridge: String, number: Int) throws {
      try configure(
        file,
        """
        {"cniVersion":"1.0.0","name":"\(name)","plugins":[
        {"type":"bridge","bridge":"\(bridge)","isGateway":true,"ipMasq":true,
         "ipam":{"type":"host-local","dataDir":"\(directory)/ipam","ranges":
          [[{"subnet":"10.\(number).0.0/24"}],[{"subnet":"fd00:\(number)::/64"}]],
          "routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}},
        {"type":"portmap","capabilities":{"portMappings":true}}]}
        """)
    }

    func configure(_ file: String, _ text: String) throws {
      try Data(text.utf8).write(to: URL(fileURLWithPath: "\(directory)/cni/\(file)"))
    }

    func pod(hostPort: Int64) -> NodeNetwork.PodIdentity {
      NodeNetwork.PodIdentity(
        id: .random(), namespace: "tests", name: "pod", uid: "uid",
        capabilities: [
          "portMappings": .array([
            .object(["hostPort": .integer(hostPort), "containerPort": .integer(80), "protocol": .string("tcp")])
          ])
        ])
    }

    /// Attaches a pod and joins it to taps, as for a machine, and takes it all back.
    func round(
      hostPort: Int64 = 8080, _ check: (NodeNetwork.Attached, [PodInterface]) throws -> Void = { _, _ in }
    ) async throws {
      let pod = pod(hostPort: hostPort)
      let namespace = "\(directory)/netns/\(pod.id)"
      let record = "\(directory)/records/\(pod.id)"
      try await NetworkNamespace.create(at: namespace)
      do {
        let attached = try await network.attach(pod, to: namespace, record: record)
        try await Taps.create(0..<attached.interfaces.count, in: namespace, owner: 65534, multiQueue: false)
        try check(attached, try await network.join(attached, in: namespace))
      } catch {
        try? await network.detach(record: record)
        try? await NetworkNamespace.delete(at: namespace)
        throw error
      }
      try await network.detach(record: record)
      try await network.detach(record: record)
      try await NetworkNamespace.delete(at: namespace)
    }

    /// Descriptors of this process that a round opens some of, but not those that tests beside this one have:
    /// namespaces, processes, and files below the directory.
    func descriptors() throws -> Int {
      try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count { number in
        let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(number)")) ?? ""
        return target.hasPrefix("net:") || target.contains("pidfd") || target.hasPrefix(directory)
      }
    }

    /// Interfaces, rules, addresses, namespaces and records: all that a pod may leave on the node.
    func state() throws -> [String] {
      let interfaces = try run("ip -n \(node) -o link | cut -d: -f2 | cut -d@ -f1 | sort")
      let rules = try run(
        "for save in iptables-save ip6tables-save; do nsenter --net=/run/netns/\(node) $save; done | grep '^[-]' | sort"
      )
      let files = try run("cd \(directory); ls ipam/* netns records; grep -c \(directory) /proc/self/mountinfo || true")
      return [interfaces, rules, files]
    }
  }

  @Test func theGuestIsToldWhatThePluginsMade() async throws {
    let world = try World()
    try world.configure("10.conflist", name: "one", bridge: "pods0", number: 81)
    #expect(try await world.network.expectedInterfaces() == 1)
    #expect(await world.network.readiness() == .ready(remarks: []))
    try await world.round { attached, interfaces in
      #expect(attached.interfaces == ["eth0"])
      #expect(attached.addresses == ["10.81.0.2", "fd00:81::2"])
      #expect(interfaces.map(\.name) == ["eth0"])
      #expect(interfaces[0].mtu == 1500)
      #expect(interfaces[0].addresses.map(\.prefix.description).sorted() == ["10.81.0.2/24", "fd00:81::2/64"])
      #expect(interfaces[0].routes.map(\.destination.description).contains("10.81.0.0/24"))
    }
  }

  @Test func twoNetworks() async throws {
    let world = try World(maximumNetworks: 2)
    try world.configure("10.conflist", name: "one", bridge: "pods0", number: 81)
    try world.configure("20.conflist", name: "two", bridge: "pods1", number: 82)
    #expect(try await world.network.expectedInterfaces() == 2)
    try await world.round { attached, interfaces in
      #expect(attached.interfaces == ["eth0", "eth1"])
      #expect(attached.addresses == ["10.81.0.2", "fd00:81::2"])
      let addresses = interfaces.flatMap { $0.addresses.map(\.prefix.description) }
      #expect(addresses.filter { $0.hasPrefix("10.") } == ["10.81.0.2/24", "10.82.0.2/24"])
      // Each network gives a default route: IPv6 has both, as one over two paths.
      for interface in interfaces {
        let gateways = interface.routes.filter { $0.destination.length == 0 }.compactMap(\.gateway?.description)
        let number = interface.name == "eth0" ? 81 : 82
        #expect(gateways.sorted() == ["10.\(number).0.1", "fd00:\(number)::1"])
      }
    }
  }

  @Test func nothingIsLeftAfter200Rounds() async throws {
    let world = try World()
    try world.configure("10.conflist", name: "one", bridge: "pods0", number: 81)
    try await world.round()
    let (state, descriptors) = (try world.state(), try world.descriptors())
    // Side by side, as pods come.
    try await withThrowingTaskGroup(of: Void.self) { group in
      for lane in 0..<4 {
        group.addTask { for _ in 0..<50 { try await world.round(hostPort: 8080 + Int64(lane)) } }
      }
      try await group.waitForAll()
    }
    #expect(try world.state() == state)
    #expect(try world.descriptors() <= descriptors + 20)
  }

  @Test func pluginsFindWhatWasChanged() async throws {
    let world = try World()
    try world.configure(
      "10.conflist",
      """
      {"cniVersion":"1.0.0","name":"one","plugins":[{"type":"bridge","bridge":"pods0","isGateway":true,
      "ipam":{"type":"host-local","dataDir":"\(world.directory)/ipam","ranges":[[{"subnet":"10.81.0.0/24"}]]}}]}
      """)
    let pod = world.pod(hostPort: 8080)
    let (namespace, record) = ("\(world.directory)/netns/\(pod.id)", "\(world.directory)/records/\(pod.id)")
    try await NetworkNamespace.create(at: namespace)
    _ = try await world.network.attach(pod, to: namespace, record: record)
    try await world.network.check(record: record)
    try run("nsenter --net=\(namespace) ip address flush dev eth0")
    await #expect(throws: BulkheadError.self) { try await world.network.check(record: record) }
    // Not even the configuration is needed to undo it, nor the namespace.
    try FileManager.default.removeItem(atPath: "\(world.directory)/cni/10.conflist")
    try await NetworkNamespace.delete(at: namespace)
    try await world.network.detach(record: record)
    #expect(try world.state()[2].contains("10.81.0.2") == false)
  }

  @Test(arguments: ["0.3.1", "0.4.0", "1.0.0"])
  func everyVersionThatThePluginsSpeak(_ version: String) async throws {
    let world = try World()
    try world.configure(
      "10.conflist",
      """
      {"cniVersion":"\(version)","name":"one","plugins":[{"type":"bridge","bridge":"pods0",
      "ipam":{"type":"host-local","dataDir":"\(world.directory)/ipam","ranges":[[{"subnet":"10.81.0.0/24"}]]}},
      {"type":"portmap","capabilities":{"portMappings":true}}]}
      """)
    try await world.round { attached, _ in #expect(attached.addresses == ["10.81.0.2"]) }
    #expect(try world.state()[1].contains("8080") == false)
    #expect(try world.state()[2].contains("10.81.0.2") == false)
  }

  /// What is newer than the plugins are is said in their words.
  @Test func aVersionThatThePluginsDoNotSpeak() async throws {
    let world = try World()
    try world.configure("10.conf", #"{"cniVersion":"1.1.0","name":"one","type":"ptp"}"#)
    guard case .notReady(let why) = await world.network.readiness() else {
      Issue.record("ready")
      return
    }
    #expect(why.contains("ptp") && why.contains("STATUS"), "\(why)")
  }

  @Test func pluginsAreToldWhichAttachmentsThereAre() async throws {
    let world = try World()
    try world.plugin("collector", "[ $CNI_COMMAND = GC ] && cat > \(world.directory)/seen; exit 0")
    try world.configure("10.conf", #"{"cniVersion":"1.1.0","name":"one","type":"collector"}"#)
    let pod = world.pod(hostPort: 8080)
    let record = "\(world.directory)/records/\(pod.id)"
    _ = try await world.network.attach(pod, to: "\(world.directory)/netns/\(pod.id)", record: record)
    #expect(await world.network.collectGarbage(except: [record, "\(world.directory)/records/none"]) == [])
    let seen = try JSONDecoder().decode(
      JSONValue.self, from: Data(contentsOf: URL(fileURLWithPath: "\(world.directory)/seen")))
    #expect(
      seen["cni.dev/valid-attachments"]
        == .array([.object(["containerID": .string(pod.id.text), "ifname": .string("eth0")])]))
    try await world.network.detach(record: record)
  }

  @Test func noConfigurationIsNotReady() async throws {
    let world = try World()
    guard case .notReady(let why) = await world.network.readiness() else {
      Issue.record("a node without networks is ready")
      return
    }
    #expect(why.contains("\(world.directory)/cni"))
    await #expect(throws: BulkheadError.self) { try await world.round() }
  }
}

@discardableResult
private func run(_ script: String) throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = ["-c", script]
  let pipe = Pipe()
  process.standardOutput = pipe
  try process.run()
  let output = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return String(decoding: output, as: UTF8.self)
}
