import Common

/// What a pod is asked to be, validated. Kept in the state database as it was asked.
public struct PodSpec: Sendable, Codable, Equatable {
  /// Who the pod is to Kubernetes; one pod at a time may have it.
  public struct Metadata: Sendable, Codable, Hashable {
    public var name: String
    public var namespace: String
    public var uid: String
    public var attempt: UInt32
    public init(name: String, namespace: String, uid: String, attempt: UInt32) {
      self.name = name
      self.namespace = namespace
      self.uid = uid
      self.attempt = attempt
    }
    /// As the kubelet names pods in its messages.
    public var displayName: String { "\(namespace)/\(name)" }
  }

  public var metadata: Metadata
  public var runtimeHandler: String
  public var hostname: String
  /// Directory of the containers' log files; empty: no logs are kept.
  public var logDirectory: String
  /// The whole resolv.conf of the pod's containers; nil: none.
  public var resolvConf: String?
  public var labels: [String: String]
  public var annotations: [String: String]
  public var sysctls: [String: String]
  /// Where the processes of its machine are put on the host, as the kubelet names it; empty: nowhere.
  public var cgroupParent: String
  /// What the pod's containers may use together, and what the VM needs besides; nil: the node's default.
  public var resources: PodResources?
  /// The PID namespace that containers get unless they say otherwise; shown in status.
  public var pidMode: PIDMode
  public var ipcMode: IPCMode
  /// Nil: nothing in particular.
  public var network: PodNetworkSpec?

  public init(
    metadata: Metadata, runtimeHandler: String, hostname: String, logDirectory: String, resolvConf: String?,
    labels: [String: String], annotations: [String: String], sysctls: [String: String],
    cgroupParent: String, resources: PodResources?, pidMode: PIDMode, ipcMode: IPCMode,
    network: PodNetworkSpec? = nil
  ) {
    self.metadata = metadata
    self.runtimeHandler = runtimeHandler
    self.hostname = hostname
    self.logDirectory = logDirectory
    self.resolvConf = resolvConf
    self.labels = labels
    self.annotations = annotations
    self.sysctls = sysctls
    self.cgroupParent = cgroupParent
    self.resources = resources
    self.pidMode = pidMode
    self.ipcMode = ipcMode
    self.network = network
  }
}

/// What a pod asks for, as the kubelet adds it up. CPU in thousandths of a core, memory in bytes; nil: nothing
/// was said.
public struct PodResources: Sendable, Codable, Equatable {
  /// Limits.
  public var milliCPU: Int64?
  public var memoryBytes: UInt64?
  /// What is asked for at least, where there is no limit.
  public var requestedMilliCPU: Int64?
  /// Beside `memoryBytes`.
  public var hugepageBytes: UInt64?
  /// What the pod costs beyond its containers (RuntimeClass' overhead).
  public var overheadMilliCPU: Int64?
  public var overheadBytes: UInt64?

  public init(
    milliCPU: Int64? = nil, memoryBytes: UInt64? = nil, requestedMilliCPU: Int64? = nil, hugepageBytes: UInt64? = nil,
    overheadMilliCPU: Int64? = nil, overheadBytes: UInt64? = nil
  ) {
    self.milliCPU = milliCPU
    self.memoryBytes = memoryBytes
    self.requestedMilliCPU = requestedMilliCPU
    self.hugepageBytes = hugepageBytes
    self.overheadMilliCPU = overheadMilliCPU
    self.overheadBytes = overheadBytes
  }
}

public enum PIDMode: Sendable, Codable, Equatable {
  case pod, container, node
  /// Joins that container's.
  case target(String)
}

public enum IPCMode: String, Sendable, Codable, Equatable {
  case pod, node
}
