/// What a pod asks of the node's networks, as the kubelet says it.
public struct PodNetworkSpec: Sendable, Codable, Equatable {
  /// A port of the node that leads to one of the pod.
  public struct PortMapping: Sendable, Codable, Equatable {
    public enum TransportProtocol: String, Sendable, Codable { case tcp, udp, sctp }

    public var transport: TransportProtocol
    public var containerPort: UInt16
    public var hostPort: UInt16
    /// Empty: every address of the node.
    public var hostIP: String

    public init(transport: TransportProtocol, containerPort: UInt16, hostPort: UInt16, hostIP: String) {
      self.transport = transport
      self.containerPort = containerPort
      self.hostPort = hostPort
      self.hostIP = hostIP
    }
  }

  public var portMappings: [PortMapping] = []
  public var dnsServers: [String] = []
  public var dnsSearches: [String] = []
  public var dnsOptions: [String] = []
  /// Bits a second, as the annotations kubernetes.io/ingress-bandwidth and egress-bandwidth say; nil: as fast as
  /// it goes.
  public var ingressRate: Int64?
  public var egressRate: Int64?

  public init() {}
}
