import CRI
import Common
import Pods

/// What RunPodSandbox says of the pod's network, checked.
func podNetwork(_ config: Runtime_V1_PodSandboxConfig) throws(BulkheadError) -> PodNetworkSpec {
  var network = PodNetworkSpec()
  for mapping in config.portMappings where mapping.hostPort != 0 {
    network.portMappings.append(try portMapping(mapping))
  }
  network.dnsServers = config.dnsConfig.servers
  network.dnsSearches = config.dnsConfig.searches
  network.dnsOptions = config.dnsConfig.options
  network.ingressRate = try rate(config.annotations, "kubernetes.io/ingress-bandwidth")
  network.egressRate = try rate(config.annotations, "kubernetes.io/egress-bandwidth")
  return network
}

private func portMapping(
  _ mapping: Runtime_V1_PortMapping
) throws(BulkheadError) -> PodNetworkSpec.PortMapping {
  let transport: PodNetworkSpec.PortMapping.TransportProtocol
  switch mapping.protocol {
  case .tcp: transport = .tcp
  case .udp: transport = .udp
  case .sctp: transport = .sctp
  case .UNRECOGNIZED(let value): throw Validation.invalid("config.port_mappings", "has an unknown protocol: \(value)")
  }
  return PodNetworkSpec.PortMapping(
    transport: transport, containerPort: try port(mapping.containerPort, "container_port"),
    hostPort: try port(mapping.hostPort, "host_port"),
    hostIP: try Validation.optionalName(mapping.hostIp, "config.port_mappings.host_ip", limit: 45))
}

private func port(_ value: Int32, _ field: String) throws(BulkheadError) -> UInt16 {
  guard let port = UInt16(exactly: value), port != 0 else {
    throw Validation.invalid("config.port_mappings.\(field)", "is not a port: \(value)")
  }
  return port
}

/// Bits a second, as Kubernetes' quantities write them: "10M", "1Gi", "500k", "1000000".
private func rate(_ annotations: [String: String], _ name: String) throws(BulkheadError) -> Int64? {
  guard let text = annotations[name] else { return nil }
  let units: [(suffix: String, factor: Double)] = [
    ("Ki", 0x1p10), ("Mi", 0x1p20), ("Gi", 0x1p30), ("Ti", 0x1p40), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12),
  ]
  let unit = units.first { text.hasSuffix($0.suffix) }
  let digits = text.dropLast(unit?.suffix.count ?? 0)
  guard digits.utf8.allSatisfy({ "0123456789.".utf8.contains($0) }), let number = Double(digits),
    (1e3...1e15).contains(number * (unit?.factor ?? 1))
  else {
    throw Validation.invalid(
      "annotation \(name)", "is not a rate of 1k to 1000T bits a second: \(printable(text, limit: 64))")
  }
  return Int64(number * (unit?.factor ?? 1))
}
