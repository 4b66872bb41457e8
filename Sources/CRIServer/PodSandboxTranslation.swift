import CRI
import Common
import Pods

/// RunPodSandbox's configuration, checked, as the core takes it. What a VM can't give is refused with a
/// message that names the way out.
func podSpec(_ request: Runtime_V1_RunPodSandboxRequest) throws(BulkheadError) -> PodSpec {
  guard request.hasConfig, request.config.hasMetadata else { throw Validation.invalid("config.metadata", "is missing") }
  let config = request.config
  guard ["", RuntimeHandlers.name].contains(request.runtimeHandler) else {
    throw BulkheadError(
      .invalidArgument,
      "unknown runtime handler \(printable(request.runtimeHandler, limit: 64)): this runtime serves \"\" and \"\(RuntimeHandlers.name)\""
    )
  }
  let metadata = PodSpec.Metadata(
    name: try Validation.name(config.metadata.name, "config.metadata.name"),
    namespace: try Validation.name(config.metadata.namespace, "config.metadata.namespace"),
    uid: try Validation.optionalName(config.metadata.uid, "config.metadata.uid"), attempt: config.metadata.attempt)
  let options = config.linux.securityContext.namespaceOptions
  try refuseWhatAMachineCannotGive(config)
  return PodSpec(
    metadata: metadata, runtimeHandler: request.runtimeHandler, hostname: try hostname(config, metadata),
    logDirectory: try Validation.absolutePath(config.logDirectory, "config.log_directory"),
    resolvConf: config.hasDnsConfig ? try resolvConf(config.dnsConfig) : nil, labels: config.labels,
    annotations: config.annotations, sysctls: try Sysctls.checked(config.linux.sysctls),
    cgroupParent: config.linux.cgroupParent,
    resources: try podResources(
      config.linux.hasResources ? config.linux.resources : nil,
      overhead: config.linux.hasOverhead ? config.linux.overhead : nil),
    pidMode: try pidMode(options), ipcMode: try ipcMode(options), network: try podNetwork(config))
}

private func refuseWhatAMachineCannotGive(_ config: Runtime_V1_PodSandboxConfig) throws(BulkheadError) {
  let security = config.linux.securityContext
  try SecurityTranslation.refuseForeignNamespaces(security.namespaceOptions)
  if !security.privileged {
    try SecurityTranslation.refuseAppArmor(security.hasApparmor ? security.apparmor : nil, deprecated: "")
  }
  try SecurityTranslation.refuseSELinux(security.selinuxOptions)
  // The sandbox has no process that could run as someone; what can't be an id is refused all the same.
  if security.hasRunAsUser { _ = try Validation.userID(security.runAsUser.value, "run_as_user") }
  if security.hasRunAsGroup { _ = try Validation.userID(security.runAsGroup.value, "run_as_group") }
  _ = try SecurityTranslation.groups(security.supplementalGroups)
  if security.namespaceOptions.pid == .target {
    throw Validation.invalid("namespace_options.pid", "must be POD, CONTAINER or NODE for a pod")
  }
  if config.hasWindows { throw Validation.invalid("config.windows", "is set: this runtime runs Linux pods") }
}

/// The pod's host name, as uname(2) allows: at most 64 bytes. A pod that is given none is called by its name,
/// as far as that can be one.
private func hostname(
  _ config: Runtime_V1_PodSandboxConfig, _ metadata: PodSpec.Metadata
) throws(BulkheadError) -> String {
  if config.hostname.isEmpty {
    return String(
      decoding: metadata.name.utf8.prefix(63).map { isHostNameByte($0) ? $0 : UInt8(ascii: "-") }, as: UTF8.self)
  }
  let name = try Validation.name(config.hostname, "config.hostname", limit: 64)
  guard name.utf8.allSatisfy(isHostNameByte) else {
    throw Validation.invalid("config.hostname", "is not a host name: \(printable(name))")
  }
  return name
}

private func isHostNameByte(_ byte: UInt8) -> Bool {
  switch byte {
  case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e: true
  default: false
  }
}

/// resolv.conf(5) from the kubelet's DNS settings; nil where they are empty.
private func resolvConf(_ dns: Runtime_V1_DNSConfig) throws(BulkheadError) -> String? {
  var lines: [String] = []
  for word in dns.servers + dns.searches + dns.options {
    guard !word.isEmpty, word.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      throw Validation.invalid(
        "config.dns_config", "has an entry with spaces or control characters: \(printable(word))")
    }
  }
  if !dns.searches.isEmpty { lines.append("search \(dns.searches.joined(separator: " "))") }
  lines += dns.servers.map { "nameserver \($0)" }
  if !dns.options.isEmpty { lines.append("options \(dns.options.joined(separator: " "))") }
  guard !lines.isEmpty else { return nil }
  guard lines.count <= 64 else { throw Validation.invalid("config.dns_config", "has too many entries") }
  return lines.joined(separator: "\n") + "\n"
}

func pidMode(_ options: Runtime_V1_NamespaceOption) throws(BulkheadError) -> PIDMode {
  switch options.pid {
  case .pod: return .pod
  case .container: return .container
  case .node: return .node
  case .target: return .target(try Validation.name(options.targetID, "namespace_options.target_id"))
  case .UNRECOGNIZED(let value): throw Validation.invalid("namespace_options.pid", "is unknown: \(value)")
  }
}

func ipcMode(_ options: Runtime_V1_NamespaceOption) throws(BulkheadError) -> IPCMode {
  switch options.ipc {
  case .pod: return .pod
  case .node: return .node
  default: throw Validation.invalid("namespace_options.ipc", "must be POD or NODE")
  }
}

// MARK: - Answers

extension Runtime_V1_PodSandboxMetadata {
  init(_ metadata: PodSpec.Metadata) {
    self.init()
    name = metadata.name
    namespace = metadata.namespace
    uid = metadata.uid
    attempt = metadata.attempt
  }
}

extension Runtime_V1_PodSandbox {
  init(_ pod: PodStatus) {
    self.init()
    id = pod.id.text
    metadata = .init(pod.spec.metadata)
    state = pod.state == .ready ? .sandboxReady : .sandboxNotready
    createdAt = pod.createdAt
    labels = pod.spec.labels
    annotations = pod.spec.annotations
    runtimeHandler = pod.spec.runtimeHandler
  }
}

extension Runtime_V1_PodSandboxStatus {
  init(_ pod: PodStatus) {
    self.init()
    id = pod.id.text
    metadata = .init(pod.spec.metadata)
    state = pod.state == .ready ? .sandboxReady : .sandboxNotready
    createdAt = pod.createdAt
    network = .with {
      $0.ip = pod.addresses.first ?? ""
      $0.additionalIps = pod.addresses.dropFirst().map { address in .with { $0.ip = address } }
    }
    linux.namespaces.options = .init(pod.spec)
    labels = pod.spec.labels
    annotations = pod.spec.annotations
    runtimeHandler = pod.spec.runtimeHandler
  }
}

extension Runtime_V1_NamespaceOption {
  init(_ spec: PodSpec) {
    self.init()
    ipc = spec.ipcMode == .node ? .node : .pod
    switch spec.pidMode {
    case .pod: pid = .pod
    case .container: pid = .container
    case .node: pid = .node
    case .target(let id):
      pid = .target
      targetID = id
    }
  }
}

/// Verbose information as JSON (the CRI's `info`).
struct PodInfo: Codable {
  var reason: String
  var vcpus: Int
  var memoryBytes: UInt64
  var uid: UInt32
  var networkNamespace: String
  var cgroupParent: String
  var resources: PodResources?
  var phases: [BootPhase]

  init(_ pod: PodStatus) {
    reason = pod.reason
    vcpus = pod.vcpus
    memoryBytes = pod.memory.bytes
    uid = pod.uid
    networkNamespace = pod.networkNamespace
    cgroupParent = pod.spec.cgroupParent
    resources = pod.spec.resources
    phases = pod.phases
  }
}
