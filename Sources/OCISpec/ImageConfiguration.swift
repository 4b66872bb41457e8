/// An image's configuration (image-spec, config.md): its platform, its layers' digests and what a container of it
/// runs by default. Fields that nothing here needs (history, for one) are left out.
public struct ImageConfiguration: Codable, Hashable, Sendable {
  public var created: String?
  public var architecture: String?
  public var os: String?
  public var variant: String?
  public var config: Execution?
  public var rootfs: RootFilesystem

  public init(
    created: String? = nil, architecture: String?, os: String?, variant: String? = nil, config: Execution? = nil,
    rootfs: RootFilesystem
  ) {
    self.created = created
    self.architecture = architecture
    self.os = os
    self.variant = variant
    self.config = config
    self.rootfs = rootfs
  }

  /// The defaults of a container's process.
  public struct Execution: Codable, Hashable, Sendable {
    public var user: String?
    public var env: [String]?
    public var entrypoint: [String]?
    public var cmd: [String]?
    public var workingDir: String?
    public var stopSignal: String?
    public var volumes: [String: Nothing]?
    public var labels: [String: String]?

    public init() {}

    enum CodingKeys: String, CodingKey {
      case user = "User"
      case env = "Env"
      case entrypoint = "Entrypoint"
      case cmd = "Cmd"
      case workingDir = "WorkingDir"
      case stopSignal = "StopSignal"
      case volumes = "Volumes"
      case labels = "Labels"
    }
  }

  /// The digests of the layers' uncompressed tar streams, lowest first.
  public struct RootFilesystem: Codable, Hashable, Sendable {
    public var type: String
    public var diffIDs: [String]

    public init(diffIDs: [String]) {
      type = "layers"
      self.diffIDs = diffIDs
    }

    enum CodingKeys: String, CodingKey {
      case type
      case diffIDs = "diff_ids"
    }
  }

  /// The `{}` that the format uses for members of a set.
  public struct Nothing: Codable, Hashable, Sendable {
    public init() {}
    public init(from decoder: any Decoder) {}
  }
}
