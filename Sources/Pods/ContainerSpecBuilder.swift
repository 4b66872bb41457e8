import AgentProtocol
import Common
import FoundationEssentials
import Images
import OCISpec

/// Joins what the client asked for, what the image says and the defaults into the specification that
/// the agent builds the container from. Pure.
struct ContainerSpecBuilder {
  var pod: PodSpec
  var configuration: ContainerConfiguration
  var image: ImageConfig
  var pidsLimit: Int64
  var rlimits: [Rlimit]
  /// What the node's profile says, for a container that asks for one.
  var localhostSeccomp: SeccompProfile?

  struct Rlimit: Sendable, Equatable {
    var type: String
    var soft: UInt64
    var hard: UInt64
  }

  /// Throws `invalidArgument` where the container has nothing to run or names an unknown capability.
  func build() throws(BulkheadError) -> Bulkhead_Agent_V1_ContainerSpec {
    let capabilities = try effectiveCapabilities()
    let ambient = try ambientCapabilities(within: capabilities)
    let arguments = try arguments()
    let seccomp = try seccomp(capabilities)
    return .with { spec in
      spec.process = process(arguments, capabilities: capabilities, ambient: ambient)
      spec.root.readonly = configuration.readonlyRootFilesystem
      spec.mounts = DefaultSpec.mounts(privileged: configuration.privileged)
      spec.linux = linux()
      if let seccomp { spec.linux.seccomp = seccomp }
      spec.stdin = configuration.stdin
      spec.stdinOnce = configuration.stdinOnce
    }
  }

  /// Kubernetes' rule: `command` replaces the image's entrypoint and, with it, the image's cmd;
  /// `args` replaces the cmd alone.
  private func arguments() throws(BulkheadError) -> [Data] {
    var words = configuration.command
    if words.isEmpty {
      words = image.entrypoint + (configuration.args.isEmpty ? image.cmd : configuration.args)
    } else {
      words += configuration.args
    }
    guard let first = words.first, !first.isEmpty else {
      throw BulkheadError(
        .invalidArgument,
        "container \(configuration.name) has nothing to run: neither its command nor the image's entrypoint and cmd name a program"
      )
    }
    return words.map { Data($0.utf8) }
  }

  private func process(
    _ arguments: [Data], capabilities: [String], ambient: [String]
  ) -> Bulkhead_Agent_V1_Process {
    .with {
      $0.terminal = configuration.terminal
      $0.args = arguments
      $0.env = environment()
      let directory = configuration.workingDirectory.isEmpty ? image.workingDir : configuration.workingDirectory
      $0.cwd = Data((directory.isEmpty ? "/" : directory).utf8)
      $0.user = user()
      $0.capabilities = .with {
        $0.bounding = capabilities
        $0.effective = capabilities
        $0.permitted = capabilities
        $0.inheritable = ambient
        $0.ambient = ambient
      }
      $0.rlimits = rlimits.map { limit in
        .with {
          $0.type = limit.type
          $0.soft = limit.soft
          $0.hard = limit.hard
        }
      }
      $0.noNewPrivileges = configuration.noNewPrivileges
      $0.oomScoreAdj = Int32(clamping: configuration.resources.oomScoreAdjustment)
    }
  }

  /// The image's environment, with the client's on top; names keep the place where they came first.
  private func environment() -> [Data] {
    var order: [String] = []
    var values: [String: Data] = [:]
    func set(_ name: String, _ entry: Data) {
      if values.updateValue(entry, forKey: name) == nil { order.append(name) }
    }
    set("PATH", Data("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".utf8))
    set("HOSTNAME", Data("HOSTNAME=\(pod.hostname)".utf8))
    if configuration.terminal { set("TERM", Data("TERM=xterm".utf8)) }
    for entry in image.env {
      let name = entry.prefix { $0 != UInt8(ascii: "=") }
      set(String(decoding: name, as: UTF8.self), Data(entry))
    }
    for variable in configuration.environment {
      set(variable.name, Data(variable.name.utf8) + Data("=".utf8) + Data(variable.value))
    }
    return order.compactMap { values[$0] }
  }

  private func user() -> Bulkhead_Agent_V1_User {
    .with {
      switch configuration.user {
      case .image: $0.username = Data(image.user.utf8)
      case .id(let uid, let gid):
        $0.uid = uid
        if let gid { $0.gid = gid }
      case .name(let name, let gid):
        $0.username = Data(name.utf8)
        if let gid { $0.gid = gid }
      }
      $0.additionalGids = configuration.supplementalGroups
      $0.imageGroups = configuration.mergeImageGroups
    }
  }

  private func effectiveCapabilities() throws(BulkheadError) -> [String] {
    if configuration.privileged { return DefaultSpec.allCapabilities }
    let changes = configuration.capabilities
    var set = Set(DefaultSpec.capabilities)
    if changes.add.contains(where: isAll) { set = Set(DefaultSpec.allCapabilities) }
    if changes.drop.contains(where: isAll) { set = [] }
    for name in changes.add where !isAll(name) { set.insert(try capabilityName(name)) }
    for name in changes.drop where !isAll(name) { set.remove(try capabilityName(name)) }
    return DefaultSpec.allCapabilities.filter(set.contains)
  }

  private func isAll(_ name: String) -> Bool { name.uppercased() == "ALL" }

  /// The CRI's names come without CAP_; both ways are taken.
  private func capabilityName(_ name: String) throws(BulkheadError) -> String {
    let upper = name.uppercased()
    let full = upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
    guard DefaultSpec.allCapabilities.contains(full) else {
      throw BulkheadError(.invalidArgument, "unknown capability \(printable(name, limit: 64))")
    }
    return full
  }

  /// The kernel lets a process keep as ambient only what it may have at all (capabilities(7)).
  private func ambientCapabilities(within all: [String]) throws(BulkheadError) -> [String] {
    var names: [String] = []
    for name in configuration.capabilities.addAmbient {
      if isAll(name) { return all }
      let name = try capabilityName(name)
      guard all.contains(name) else {
        throw BulkheadError(
          .invalidArgument, "add_ambient_capabilities has \(name), which the container does not have: add it, too")
      }
      names.append(name)
    }
    return names
  }

  /// None for privileged containers, whatever they ask for: as in containerd.
  private func seccomp(_ capabilities: [String]) throws(BulkheadError) -> Bulkhead_Agent_V1_Seccomp? {
    if configuration.privileged { return nil }
    switch configuration.seccomp {
    case .unconfined: return nil
    case .runtimeDefault: return DefaultSeccomp.profile(capabilities: Set(capabilities))
    case .localhost(let path):
      guard let localhostSeccomp else {
        throw BulkheadError(.internalError, "the seccomp profile \(printable(path)) was not read")
      }
      return try SeccompTranslation(profile: localhostSeccomp, capabilities: Set(capabilities)).message()
    }
  }

  private func linux() -> Bulkhead_Agent_V1_Linux {
    .with {
      $0.privileged = configuration.privileged
      $0.namespaces = namespaces()
      $0.resources = configuration.resources.message(pidsLimit: pidsLimit)
      if !configuration.privileged {
        $0.maskedPaths = configuration.maskedPaths.map { Data($0.utf8) }
        $0.readonlyPaths = configuration.readonlyPaths.map { Data($0.utf8) }
      }
    }
  }

  private func namespaces() -> Bulkhead_Agent_V1_Namespaces {
    .with {
      $0.ipcNode = configuration.ipcMode == .node
      switch configuration.pidMode {
      case .pod: $0.pid = .pod
      case .container: $0.pid = .container
      case .node: $0.pid = .node
      case .target(let id):
        $0.pid = .target
        $0.pidTarget = id
      }
    }
  }
}
