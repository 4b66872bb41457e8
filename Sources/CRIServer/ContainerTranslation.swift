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
    stdinOnce: config.stdinOnce, terminal: config.tty, user: try SecurityTranslation.user(security),
    supplementalGroups: try SecurityTranslation.groups(security.supplementalGroups),
    mergeImageGroups: try SecurityTranslation.mergesImageGroups(security.supplementalGroupsPolicy),
    capabilities: .init(
      add: security.capabilities.addCapabilities, drop: security.capabilities.dropCapabilities,
      addAmbient: security.capabilities.addAmbientCapabilities),
    privileged: security.privileged, noNewPrivileges: security.noNewPrivs,
    readonlyRootFilesystem: security.readonlyRootfs,
    maskedPaths: try SecurityTranslation.paths(security.maskedPaths, "masked_paths"),
    readonlyPaths: try SecurityTranslation.paths(security.readonlyPaths, "readonly_paths"),
    seccomp: try SecurityTranslation.seccomp(security),
    pidMode: try pidMode(security.namespaceOptions), ipcMode: try ipcMode(security.namespaceOptions),
    resources: try containerResources(config.linux.resources), stopSignal: try stopSignalNumber(config.stopSignal))
  configuration.mounts = try volumeMounts(config.mounts)
  configuration.devices = try hostDevices(config)
  return configuration
}

private func refuseUnsupported(_ config: Runtime_V1_ContainerConfig) throws(BulkheadError) {
  let security = config.linux.securityContext
  if !security.privileged {
    try SecurityTranslation.refuseAppArmor(
      security.hasApparmor ? security.apparmor : nil, deprecated: security.apparmorProfile)
  }
  try SecurityTranslation.refuseSELinux(security.selinuxOptions)
  try SecurityTranslation.refuseForeignNamespaces(security.namespaceOptions)
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
