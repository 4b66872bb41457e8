import CNI

extension PodNetworkSpec {
  /// As CNI's conventions have them (CNI, CONVENTIONS.md); plugins get those that they declare.
  func capabilities(annotations: [String: String], cgroupParent: String) -> [String: JSONValue] {
    var all: [String: JSONValue] = [:]
    if !portMappings.isEmpty { all["portMappings"] = .array(portMappings.map(\.json)) }
    if let bandwidth { all["bandwidth"] = bandwidth }
    if !dnsServers.isEmpty || !dnsSearches.isEmpty || !dnsOptions.isEmpty {
      all["dns"] = .object([
        "servers": strings(dnsServers), "searches": strings(dnsSearches), "options": strings(dnsOptions),
      ])
    }
    if !cgroupParent.isEmpty { all["cgroupPath"] = .string(cgroupParent) }
    return all.merging(NetworkAnnotation.capabilities(annotations)) { $1 }
  }

  private var bandwidth: JSONValue? {
    guard ingressRate != nil || egressRate != nil else { return nil }
    var keys: [String: JSONValue] = [:]
    if let ingressRate {
      keys = ["ingressRate": .integer(ingressRate), "ingressBurst": .integer(Self.burst(ingressRate))]
    }
    if let egressRate {
      keys.merge(["egressRate": .integer(egressRate), "egressBurst": .integer(Self.burst(egressRate))]) { $1 }
    }
    return .object(keys)
  }

  /// Bits: an eighth of a second's, but room for two of the largest packets that offloads make, and no more than the
  /// plugin takes. Others give it a burst so large that the rate does not show for the first 256 MiB.
  private static func burst(_ rate: Int64) -> Int64 { min(max(rate / 8, 1 << 20), Int64(Int32.max)) }
}

extension PodNetworkSpec.PortMapping {
  fileprivate var json: JSONValue {
    var keys: [String: JSONValue] = [
      "hostPort": .integer(Int64(hostPort)), "containerPort": .integer(Int64(containerPort)),
      "protocol": .string(transport.rawValue),
    ]
    if !hostIP.isEmpty { keys["hostIP"] = .string(hostIP) }
    return .object(keys)
  }
}

/// What a pod may ask of plugins that Kubernetes has no field for.
enum NetworkAnnotation {
  static let ips = "network.bulkhead.dev/ips"
  static let mac = "network.bulkhead.dev/mac"
  static let aliases = "network.bulkhead.dev/aliases"
  static let infinibandGUID = "network.bulkhead.dev/infiniband-guid"

  static func capabilities(_ annotations: [String: String]) -> [String: JSONValue] {
    var all: [String: JSONValue] = [:]
    if let list = annotations[ips] { all["ips"] = strings(words(list)) }
    if let address = annotations[mac] { all["mac"] = .string(address) }
    if let list = annotations[aliases] { all["aliases"] = strings(words(list)) }
    if let guid = annotations[infinibandGUID] { all["infinibandGUID"] = .string(guid) }
    return all
  }

  private static func words(_ list: String) -> [String] {
    list.split(whereSeparator: { $0 == "," || $0.isWhitespace }).map(String.init)
  }
}

private func strings(_ list: [String]) -> JSONValue { .array(list.map(JSONValue.string)) }
