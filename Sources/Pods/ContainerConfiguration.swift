import Common

/// What a container is asked to be, validated but not yet joined with its image's defaults.
public struct ContainerConfiguration: Sendable, Codable, Equatable {
  public var name: String
  public var attempt: UInt32
  /// The image as the client named it.
  public var image: String
  /// What the user wrote in the pod's spec; shown in status.
  public var userSpecifiedImage: String
  public var command: [String]
  public var args: [String]
  public var environment: [EnvironmentVariable]
  public var workingDirectory: String
  public var labels: [String: String]
  public var annotations: [String: String]
  /// Relative to the pod's log directory; empty: no log is kept.
  public var logPath: String
  public var stdin: Bool
  public var stdinOnce: Bool
  public var terminal: Bool
  public var user: UserChoice
  public var supplementalGroups: [UInt32]
  /// Whether the groups that the image gives the user count too.
  public var mergeImageGroups: Bool
  public var capabilities: CapabilityChanges
  public var privileged: Bool
  public var noNewPrivileges: Bool
  public var readonlyRootFilesystem: Bool
  public var maskedPaths: [String]
  public var readonlyPaths: [String]
  public var seccomp: SeccompChoice
  public var pidMode: PIDMode
  public var ipcMode: IPCMode
  public var resources: ContainerResources
  /// Signal number from the CRI; nil: the image's, else SIGTERM.
  public var stopSignal: Int32?
  public var mounts: [VolumeMount] = []
  public var devices: [HostDevice] = []

  public struct EnvironmentVariable: Sendable, Codable, Equatable {
    public var name: String
    /// Bytes, not text.
    public var value: [UInt8]
    public init(name: String, value: [UInt8]) {
      self.name = name
      self.value = value
    }
  }

  public enum UserChoice: Sendable, Codable, Equatable {
    /// What the image says.
    case image
    case id(uid: UInt32, gid: UInt32?)
    /// Looked up in the image.
    case name(String, gid: UInt32?)
  }

  public struct CapabilityChanges: Sendable, Codable, Equatable {
    public var add: [String]
    public var drop: [String]
    public var addAmbient: [String]
    public init(add: [String] = [], drop: [String] = [], addAmbient: [String] = []) {
      self.add = add
      self.drop = drop
      self.addAmbient = addAmbient
    }
  }

  public enum SeccompChoice: Sendable, Codable, Equatable {
    case unconfined, runtimeDefault
    /// Absolute path of a profile on the host.
    case localhost(String)
  }

  public init(
    name: String, attempt: UInt32, image: String, userSpecifiedImage: String, command: [String], args: [String],
    environment: [EnvironmentVariable], workingDirectory: String, labels: [String: String],
    annotations: [String: String], logPath: String, stdin: Bool, stdinOnce: Bool, terminal: Bool,
    user: UserChoice, supplementalGroups: [UInt32], mergeImageGroups: Bool, capabilities: CapabilityChanges,
    privileged: Bool, noNewPrivileges: Bool, readonlyRootFilesystem: Bool, maskedPaths: [String],
    readonlyPaths: [String], seccomp: SeccompChoice, pidMode: PIDMode, ipcMode: IPCMode,
    resources: ContainerResources, stopSignal: Int32?
  ) {
    self.name = name
    self.attempt = attempt
    self.image = image
    self.userSpecifiedImage = userSpecifiedImage
    self.command = command
    self.args = args
    self.environment = environment
    self.workingDirectory = workingDirectory
    self.labels = labels
    self.annotations = annotations
    self.logPath = logPath
    self.stdin = stdin
    self.stdinOnce = stdinOnce
    self.terminal = terminal
    self.user = user
    self.supplementalGroups = supplementalGroups
    self.mergeImageGroups = mergeImageGroups
    self.capabilities = capabilities
    self.privileged = privileged
    self.noNewPrivileges = noNewPrivileges
    self.readonlyRootFilesystem = readonlyRootFilesystem
    self.maskedPaths = maskedPaths
    self.readonlyPaths = readonlyPaths
    self.seccomp = seccomp
    self.pidMode = pidMode
    self.ipcMode = ipcMode
    self.resources = resources
    self.stopSignal = stopSignal
  }
}
