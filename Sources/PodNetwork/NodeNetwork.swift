import CNI
import Common
import LinuxSystem
import Netlink
import Synchronization

/// The networks of this node: attaches pods to them and detaches them, by the CNI plugins that the operator
/// has configured.
public final class NodeNetwork: Sendable {
  public struct Settings: Sendable {
    public var configurationDirectory: String
    public var pluginDirectories: [String]
    /// How many networks a pod is attached to.
    public var maximumNetworks: Int
    /// Whether there are no pods without a network.
    public var isRequired: Bool
    /// Of one execution of one plugin.
    public var pluginDeadline: Duration

    public init(
      configurationDirectory: String, pluginDirectories: [String], maximumNetworks: Int, isRequired: Bool,
      pluginDeadline: Duration
    ) {
      self.configurationDirectory = configurationDirectory
      self.pluginDirectories = pluginDirectories
      self.maximumNetworks = maximumNetworks
      self.isRequired = isRequired
      self.pluginDeadline = pluginDeadline
    }
  }

  /// Whether pods can be attached.
  public enum Readiness: Sendable, Equatable {
    /// With what is wrong although it works, a file that is not used for instance.
    case ready(remarks: [String])
    case notReady(why: String)
  }

  /// Who is to be attached.
  public struct PodIdentity: Sendable {
    public var id: PodID
    public var namespace: String
    public var name: String
    public var uid: String
    /// By capability, as plugins that declare it get it.
    public var capabilities: [String: JSONValue]

    public init(id: PodID, namespace: String, name: String, uid: String, capabilities: [String: JSONValue]) {
      self.id = id
      self.namespace = namespace
      self.name = name
      self.uid = uid
      self.capabilities = capabilities
    }
  }

  /// What plugins made for a pod.
  public struct Attached: Sendable {
    /// The interfaces in the pod's namespace, the pod's main one first.
    public var interfaces: [String] = []
    /// The pod's addresses on its first network, without prefix length.
    public var addresses: [String] = []
    /// What the plugin `tuning` set in the pod's namespace, for the guest, whose kernel it does not reach.
    public var sysctls: [String: String] = [:]
    /// Configuration files that are not used, and why.
    public var remarks: [String] = []

    public init() {}
  }

  private let settings: Settings
  private let directory: ConfigurationDirectory
  private let runner: PluginRunner
  /// The most interfaces that a pod was given since this daemon began.
  private let largest = Mutex(0)

  public init(_ settings: Settings) {
    self.settings = settings
    directory = ConfigurationDirectory(path: settings.configurationDirectory, maximum: settings.maximumNetworks)
    runner = PluginRunner(directories: settings.pluginDirectories, deadline: settings.pluginDeadline)
  }

  // MARK: - The node

  /// Reads the configuration, and asks plugins whose version can be asked.
  public func readiness() async -> Readiness {
    guard let found = try? await read() else { return .notReady(why: "no thread to read the configuration with") }
    guard !found.networks.isEmpty else { return .notReady(why: nothingConfigured(found.problems)) }
    for network in found.networks {
      do { try await runner.status(network) } catch {
        return .notReady(why: "network \(network.name): \(error)")
      }
    }
    return .ready(remarks: found.problems)
  }

  /// Has plugins release what belongs to none of these attachments; answers what failed, for the log.
  public func collectGarbage(except directories: [String]) async -> [String] {
    guard let found = try? await read() else { return [] }
    var complaints: [String] = []
    var valid: [Attachment] = []
    for directory in directories {
      do { valid += try await load(directory) } catch { return ["\(error)"] }
    }
    for network in found.networks {
      let requests = valid.filter { $0.network.name == network.name }.map(\.request)
      do { try await runner.collectGarbage(network, valid: requests) } catch { complaints.append("\(error)") }
    }
    return complaints
  }

  private func read() async throws -> ConfigurationDirectory.Contents {
    try await onDedicatedThread { [directory] in directory.read() }
  }

  private func nothingConfigured(_ problems: [String]) -> String {
    let why = "no usable CNI network configuration in \(directory.path)"
    return problems.isEmpty ? why : "\(why): \(problems.joined(separator: "; "))"
  }

  // MARK: - A pod

  /// How many network cards a pod's virtual machine should be born with.
  public func expectedInterfaces() async throws -> Int {
    let networks = try await read().networks
    return networks.isEmpty ? 0 : max(networks.count, largest.withLock { $0 })
  }

  /// Runs ADD for every network. `record` is the directory, the pod's alone, where attachments are written
  /// down before they are made. On error, or when the daemon dies, `detach` undoes what was done.
  public func attach(_ pod: PodIdentity, to namespace: String, record: String) async throws -> Attached {
    let found = try await read()
    guard !found.networks.isEmpty else {
      guard settings.isRequired else { return Attached() }
      throw BulkheadError(
        .failedPrecondition,
        "NetworkPluginNotReady: \(nothingConfigured(found.problems)); install one, or let pods have no network (network.required = false)"
      )
    }
    let files = AttachmentFiles(directory: record)
    var attached = Attached()
    attached.remarks = found.problems
    for (number, network) in found.networks.enumerated() {
      let request = try AttachmentRequest(
        containerID: pod.id.text, namespace: namespace, interface: "eth\(number)",
        pod: (pod.namespace, pod.name, pod.uid), capabilities: pod.capabilities)
      var attachment = Attachment(network: network, request: request)
      try await save(attachment, files)
      let result: AttachmentResult
      do { result = try await runner.add(attachment) } catch {
        throw BulkheadError(
          BulkheadError.wrapping(error, "").code, "cannot attach the pod to network \(network.name)", cause: error)
      }
      attachment.result = result
      try await save(attachment, files)
      attached.interfaces += result.podInterfaces(request)
      if number == 0 { attached.addresses = result.plainAddresses }
      attached.sysctls.merge(network.tunedSysctls) { $1 }
    }
    guard Set(attached.interfaces).count == attached.interfaces.count, attached.interfaces.count <= 8 else {
      throw BulkheadError(.internalError, "the plugins' results name an interface twice, or more than eight")
    }
    largest.withLock { [attached] in $0 = max($0, attached.interfaces.count) }
    return attached
  }

  /// Joins the pod's interfaces to the taps of its virtual machine, and reads what the guest is to have.
  public func join(_ attached: Attached, in namespace: String) async throws -> [PodInterface] {
    guard !attached.interfaces.isEmpty else { return [] }
    do { return try await Taps.join(attached.interfaces, in: namespace) } catch {
      throw BulkheadError.wrapping(error, "cannot join the pod's network to its virtual machine")
    }
  }

  /// Runs DEL for every attachment that is written down in `record`, the last first, and forgets them.
  /// Succeeds where nothing is written down.
  public func detach(record: String) async throws {
    let files = AttachmentFiles(directory: record)
    for attachment in try await load(record).reversed() {
      do { try await runner.delete(attachment) } catch {
        throw BulkheadError(
          BulkheadError.wrapping(error, "").code, "cannot detach the pod from network \(attachment.network.name)",
          cause: error)
      }
      try await onDedicatedThread { try files.forget(attachment) }
    }
    try await onDedicatedThread { try files.remove() }
  }

  /// Throws what plugins find changed about a pod's attachments.
  public func check(record: String) async throws {
    for attachment in try await load(record) { try await runner.check(attachment) }
  }

  private func load(_ record: String) async throws -> [Attachment] {
    try await onDedicatedThread { try AttachmentFiles(directory: record).load() }
  }

  private func save(_ attachment: Attachment, _ files: AttachmentFiles) async throws {
    do { try await onDedicatedThread { try files.save(attachment) } } catch {
      throw BulkheadError.wrapping(error, "cannot write down a network attachment")
    }
  }
}

extension AttachmentResult {
  /// Those inside the pod, the one that was asked for first. Results of old versions may name none.
  fileprivate func podInterfaces(_ request: AttachmentRequest) -> [String] {
    let inside = interfaces.filter { !$0.sandbox.isEmpty && $0.name != "lo" }.map(\.name)
    guard inside.contains(request.interface) || inside.isEmpty else { return inside }
    return [request.interface] + inside.filter { $0 != request.interface }
  }

  fileprivate var plainAddresses: [String] {
    let prefixes = addresses.compactMap { IPPrefix($0) }
    // IPv4 first, as the kubelet's other runtimes report dual stack.
    return prefixes.sorted { $0.address.family == .v4 && $1.address.family == .v6 }.map(\.address.description)
  }
}

extension NetworkConfiguration {
  fileprivate var tunedSysctls: [String: String] {
    var found: [String: String] = [:]
    for plugin in plugins where plugin.type == "tuning" {
      for (key, value) in plugin.keys["sysctl"]?.object ?? [:] {
        if let value = value.string { found[key] = value }
      }
    }
    return found
  }
}
