import CRI
import Common
import Pods

/// CreateContainer's configuration, checked, as the core takes it. What this version can't do is
/// refused, never ignored.
func containerConfiguration(_ config: Runtime_V1_ContainerConfig) throws(BulkheadError) -> ContainerConfiguration {
  let security = config.linux.securityContext
  try refuseUnsupported(config)
  var configuration = ContainerConfiguration(
    name: try Validation.name(config.metadata.name, "config.metadata.name"), attempt: config.metadata.attempt,
    image: try Validation.name(config.image.image, "config.image.image", limit: 1024),
    userSpecifiedImage: config.image.userSpecifiedImage,
    command: try Validation.noNUL(config.command, "config.command"),
    args: try Validation.noNUL(config.args, "config.args"), environment: try environment(config.envs),
    workingDirectory: try workingDirectory(config), labels: config.labels, annotations: config.annotations,
    logPath: try Validation.relativePath(config.logPath, "config.log_path"), stdin: config.stdin,
    stdinOnce: config.stdinOnce, terminal: config.tty, user: try user(security),
    supplementalGroups: try groups(security), mergeImageGroups: security.supplementalGroupsPolicy != .strict,
    capabilities: .init(
      add: security.capabilities.addCapabilities, drop: security.capabilities.dropCapabilities,
      addAmbient: security.capabilities.addAmbientCapabilities),
    privileged: security.privileged, noNewPrivileges: security.noNewPrivs,
    readonlyRootFilesystem: security.readonlyRootfs, maskedPaths: try paths(security.maskedPaths, DefaultPaths.masked),
    readonlyPaths: try paths(security.readonlyPaths, DefaultPaths.readonly), seccomp: try seccomp(security),
    pidMode: try pidMode(security.namespaceOptions), ipcMode: try ipcMode(security.namespaceOptions),
    resources: try containerResources(config.linux.resources), stopSignal: try stopSignalNumber(config.stopSignal))
  configuration.mounts = try volumeMounts(config.mounts)
  configuration.devices = try hostDevices(config)
  return configuration
}

private func refuseUnsupported(_ config: Runtime_V1_ContainerConfig) throws(BulkheadError) {
  let security = config.linux.securityContext
  if security.hasApparmor, security.apparmor.profileType == .localhost {
    throw BulkheadError(.unimplemented, "AppArmor profiles are not supported: the guest's kernel has no AppArmor")
  }
  if security.namespaceOptions.network == .node {
    throw BulkheadError(.invalidArgument, "a container in a virtual machine can't share the node's network")
  }
  if config.hasWindows { throw Validation.invalid("config.windows", "is set: this runtime runs Linux containers") }
}

private func environment(
  _ variables: [Runtime_V1_KeyValue]
) throws(BulkheadError) -> [ContainerConfiguration.EnvironmentVariable] {
  var result: [ContainerConfiguration.EnvironmentVariable] = []
  for variable in variables {
    guard !variable.key.isEmpty, !variable.key.contains("="), !variable.key.utf8.contains(0) else {
      throw Validation.invalid("config.envs", "has an invalid name: \(printable(variable.key, limit: 64))")
    }
    guard !variable.value.contains(0) else {
      throw Validation.invalid("config.envs", "has a NUL byte in the value of \(printable(variable.key, limit: 64))")
    }
    result.append(.init(name: variable.key, value: Array(variable.value)))
  }
  return result
}

private func workingDirectory(_ config: Runtime_V1_ContainerConfig) throws(BulkheadError) -> String {
  try Validation.absolutePath(config.workingDir, "config.working_dir")
}

private func user(
  _ security: Runtime_V1_LinuxContainerSecurityContext
) throws(BulkheadError) -> ContainerConfiguration.UserChoice {
  var gid: UInt32?
  if security.hasRunAsGroup { gid = try Validation.userID(security.runAsGroup.value, "run_as_group") }
  if security.hasRunAsUser {
    return .id(uid: try Validation.userID(security.runAsUser.value, "run_as_user"), gid: gid)
  }
  if !security.runAsUsername.isEmpty {
    return .name(try Validation.name(security.runAsUsername, "run_as_username"), gid: gid)
  }
  if gid != nil { throw Validation.invalid("run_as_group", "needs run_as_user or run_as_username beside it") }
  return .image
}

private func groups(_ security: Runtime_V1_LinuxContainerSecurityContext) throws(BulkheadError) -> [UInt32] {
  var result: [UInt32] = []
  for group in security.supplementalGroups { result.append(try Validation.userID(group, "supplemental_groups")) }
  return result
}

private func paths(_ asked: [String], _ defaults: [String]) throws(BulkheadError) -> [String] {
  if asked.isEmpty { return defaults }
  var result: [String] = []
  for path in asked { result.append(try Validation.absolutePath(path, "masked_paths or readonly_paths")) }
  return result
}

private func seccomp(
  _ security: Runtime_V1_LinuxContainerSecurityContext
) throws(BulkheadError) -> ContainerConfiguration.SeccompChoice {
  guard security.hasSeccomp else { return .unconfined }
  switch security.seccomp.profileType {
  case .runtimeDefault: return .runtimeDefault
  case .unconfined: return .unconfined
  case .localhost:
    throw BulkheadError(
      .unimplemented, "seccomp profiles of the node (Localhost) are not supported yet: use RuntimeDefault")
  case .UNRECOGNIZED(let value): throw Validation.invalid("seccomp.profile_type", "is unknown: \(value)")
  }
}

/// What containers get where the kubelet names no paths: those that runc and containerd hide.
enum DefaultPaths {
  static let masked = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
  ]
  static let readonly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
}

// MARK: - Answers

extension Runtime_V1_ContainerState {
  init(_ state: ContainerState) {
    switch state {
    case .creating, .created: self = .containerCreated
    case .running: self = .containerRunning
    case .exited: self = .containerExited
    }
  }
}

extension Runtime_V1_ImageSpec {
  init(_ configuration: ContainerConfiguration) {
    self.init()
    image = configuration.image
    userSpecifiedImage = configuration.userSpecifiedImage
  }
}

extension Runtime_V1_Container {
  init(_ container: ContainerStatus) {
    self.init()
    id = container.id.text
    podSandboxID = container.podID.text
    metadata.name = container.configuration.name
    metadata.attempt = container.configuration.attempt
    image = .init(container.configuration)
    imageRef = container.imageRef
    imageID = container.imageID.description
    state = .init(container.state)
    createdAt = container.createdAt
    labels = container.configuration.labels
    annotations = container.configuration.annotations
  }
}

extension Runtime_V1_ContainerStatus {
  init(_ container: ContainerStatus) {
    self.init()
    id = container.id.text
    metadata.name = container.configuration.name
    metadata.attempt = container.configuration.attempt
    image = .init(container.configuration)
    imageRef = container.imageRef
    imageID = container.imageID.description
    state = .init(container.state)
    createdAt = container.createdAt
    setTimes(container.state)
    labels = container.configuration.labels
    annotations = container.configuration.annotations
    logPath = container.logPath
    mounts = container.configuration.mounts.map(Runtime_V1_Mount.init)
    resources.linux = .init(container.configuration.resources)
    user.linux.uid = Int64(container.user.uid)
    user.linux.gid = Int64(container.user.gid)
    user.linux.supplementalGroups = container.user.supplementalGroups.map(Int64.init)
    stopSignal = signal(number: container.stopSignal)
  }

  private mutating func setTimes(_ state: ContainerState) {
    switch state {
    case .creating, .created: break
    case .running(let startedAt, _): self.startedAt = startedAt
    case .exited(let startedAt, let finishedAt, let exit):
      self.startedAt = startedAt ?? 0
      self.finishedAt = finishedAt
      exitCode = exit.code
      reason = exit.reason
      message = exit.message
    }
  }
}

/// Verbose information as JSON (the CRI's `info`).
struct ContainerInfo: Codable {
  var sandboxID: String
  var pid: UInt32
  var privileged: Bool

  init(_ container: ContainerStatus) {
    sandboxID = container.podID.text
    pid = if case .running(_, let pid) = container.state { pid } else { 0 }
    privileged = container.configuration.privileged
  }
}
