/// Everything the helper needs to build one container. The agent has validated it: names are numbers by now,
/// and paths of the guest are the agent's own. Paths inside the container are still hostile, as the image
/// decides what they lead to.
public struct ContainerJob: WireCoded, Sendable {
  public var root = RootPlan()
  /// In this order; a later mount may lie on an earlier one.
  public var mounts: [MountPlan] = []
  public var devices: [DevicePlan] = []
  /// Also a node for every device the guest has.
  public var allDevices = false
  public var maskedPaths: [[UInt8]] = []
  public var readonlyPaths: [[UInt8]] = []
  public var user = UserPlan()
  public var process = ProcessPlan()

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try root.code(with: &coder)
    try coder.list(&mounts)
    try coder.list(&devices)
    try coder.flag(&allDevices)
    try coder.byteStrings(&maskedPaths)
    try coder.byteStrings(&readonlyPaths)
    try user.code(with: &coder)
    try process.code(with: &coder)
  }
}

/// A further process of a container, as the user that the container's first process runs as.
public struct ExecJob: WireCoded, Sendable {
  public var identity = Identity()
  public var process = ProcessPlan()

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try identity.code(with: &coder)
    try process.code(with: &coder)
  }
}

/// The overlay that is the container's root. All paths are the guest's.
public struct RootPlan: WireCoded, Sendable {
  public var lower: [UInt8] = []
  public var upper: [UInt8] = []
  public var work: [UInt8] = []
  /// An existing directory; the overlay covers it in the container's mount namespace alone.
  public var mountPoint: [UInt8] = []
  public var readonly = false

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.bytes(&lower)
    try coder.bytes(&upper)
    try coder.bytes(&work)
    try coder.bytes(&mountPoint)
    try coder.flag(&readonly)
  }
}

public struct MountPlan: WireCoded, Sendable, Equatable {
  public enum Kind: UInt8, Sendable {
    /// A new instance of the filesystem `type` with `data` as its options.
    case filesystem
    /// `source`, a path of the guest.
    case bind
    /// `source` with the mounts below it.
    case recursiveBind
  }

  public var kind = Kind.filesystem
  public var destination: [UInt8] = []
  public var type: [UInt8] = []
  public var source: [UInt8] = []
  /// What of a bind's source is mounted, resolved without leaving it; empty: all.
  public var subPath: [UInt8] = []
  /// Options of the filesystem itself, `key=value` or `key`.
  public var data: [[UInt8]] = []
  /// MOUNT_ATTR_* of mount_setattr(2), for the mount itself.
  public var attributes: UInt64 = 0
  public var clearedAttributes: UInt64 = 0
  /// The same for the mount and all below it (`rro` and its like).
  public var recursiveAttributes: UInt64 = 0
  /// MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE; 0: as it comes.
  public var propagation: UInt64 = 0
  public var recursivePropagation = false

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.choice(&kind)
    try coder.bytes(&destination)
    try coder.bytes(&type)
    try coder.bytes(&source)
    try coder.bytes(&subPath)
    try coder.byteStrings(&data)
    try coder.integer(&attributes)
    try coder.integer(&clearedAttributes)
    try coder.integer(&recursiveAttributes)
    try coder.integer(&propagation)
    try coder.flag(&recursivePropagation)
  }
}

public struct DevicePlan: WireCoded, Sendable, Equatable {
  public var path: [UInt8] = []
  public var isBlock = false
  public var major: UInt32 = 0
  public var minor: UInt32 = 0
  /// Permission bits.
  public var mode: UInt32 = 0o666
  public var uid: UInt32 = 0
  public var gid: UInt32 = 0

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.bytes(&path)
    try coder.flag(&isBlock)
    try coder.integer(&major)
    try coder.integer(&minor)
    try coder.integer(&mode)
    try coder.integer(&uid)
    try coder.integer(&gid)
  }
}

/// Who the process is to run as, before names were looked up in the image.
public struct UserPlan: WireCoded, Sendable {
  /// "", "user", "user:group", each a name or a number.
  public var name: [UInt8] = []
  /// Wins over `name`.
  public var uid: UInt32?
  public var gid: UInt32?
  public var additionalGroups: [UInt32] = []
  /// Also the groups that the image's /etc/group gives the user.
  public var imageGroups = false

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.bytes(&name)
    try coder.optional(&uid)
    try coder.optional(&gid)
    try coder.integers(&additionalGroups)
    try coder.flag(&imageGroups)
  }
}

/// Who the process runs as, and the home directory that belongs to it.
public struct Identity: WireCoded, Sendable, Equatable {
  public var uid: UInt32 = 0
  public var gid: UInt32 = 0
  /// Supplementary groups, `gid` first.
  public var groups: [UInt32] = []
  public var home: [UInt8] = Array("/".utf8)

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.integer(&uid)
    try coder.integer(&gid)
    try coder.integers(&groups)
    try coder.bytes(&home)
  }
}
