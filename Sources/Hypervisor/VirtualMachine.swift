import Common

/// Starts virtual machines and finds those that run. What the core (`Pods`) knows of a hypervisor;
/// `LibvirtHypervisor` is the real one.
public protocol Hypervisor: Sendable {
  /// How guests run on this node, as found out when the hypervisor was opened.
  var acceleration: Acceleration { get }

  /// Starts a virtual machine and returns once its processes run, before its guest has booted.
  /// On error nothing of it is left behind, except what the caller made itself.
  func start(_ description: MachineDescription) async throws -> any VirtualMachine

  /// The machine with this id if it is running, whichever daemon started it; nil if it is not.
  func find(_ id: MachineID) async throws -> (any VirtualMachine)?

  /// The ids of all machines of this daemon's that run.
  func running() async throws -> [MachineID]

  /// Removes what a machine can leave on the host though it is gone: its directory with sockets,
  /// console log and disk descriptors, its vsock device. Destroys it first if it runs. Idempotent.
  func release(_ id: MachineID) async throws
}

/// One virtual machine. All calls have deadlines of their own and can be made from any task.
public protocol VirtualMachine: Sendable {
  var id: MachineID { get }

  /// A stream socket to a vsock port of the guest, connected; the caller owns the descriptor and
  /// closes it. Throws `unavailable` while nothing listens there, and where the guest does not answer within
  /// `limit`. A cancelled task waits as long.
  func dial(port: UInt32, within limit: Duration) async throws -> Int32

  /// Hot-plugs a read-only or writable disk. It is in the guest, findable by its serial, soon after.
  func attach(_ disk: MachineDisk) async throws

  /// Starts virtiofsd for this directory and hot-plugs the share; the guest mounts it by its tag. One a
  /// machine; nothing to do if it is there already, whichever daemon plugged it in. A machine whose
  /// virtiofsd ends is ended: its guest would wait for it for ever.
  func attach(_ share: MachineShare) async throws

  /// Powers the machine off without asking the guest, and returns when its process has gone.
  /// Succeeds if it had gone already.
  func destroy() async throws

  /// Returns when the machine's process has ended, with why; at once if it has ended already. Nil if
  /// the calling task is cancelled before.
  func waitUntilStopped() async -> MachineExit?

  /// What the machine is right now, for people.
  func status() async throws -> MachineStatus
}

extension VirtualMachine {
  /// The same, for five seconds.
  public func dial(port: UInt32) async throws -> Int32 { try await dial(port: port, within: .seconds(5)) }
}

/// Names a machine on this node: the pod's id.
public typealias MachineID = PodID

public enum Accelerator: String, Sendable, CaseIterable, Codable {
  case kvm, tcg
}

/// What runs guests, and why.
public struct Acceleration: Sendable {
  public var accelerator: Accelerator
  /// For people: "a test guest ran on /dev/kvm", "no /dev/kvm", "BULKHEAD_ACCEL=tcg".
  public var reason: String
  public init(accelerator: Accelerator, reason: String) {
    self.accelerator = accelerator
    self.reason = reason
  }
}

/// All that a machine is started with. Paths are absolute and on the host.
public struct MachineDescription: Sendable {
  public var id: MachineID
  /// What people see it as, `namespace/name` of the pod. Used in messages only.
  public var displayName: String
  public var vcpus: Int
  public var memory: ByteCount
  /// The user and group that QEMU (and the vsock device) run as: this machine's alone.
  public var uid: UInt32
  public var gid: UInt32
  /// A bind-mounted network namespace that QEMU is started in.
  public var networkNamespace: String?
  /// The 32 bytes or fewer of hex that the agent expects in `bulkhead-secret`; reaches the guest by
  /// fw_cfg as opt/bulkhead/secret, never by a command line or a file that others can read.
  public var secret: String
  /// Disks that are there from the start.
  public var disks: [MachineDisk]
  /// Network interfaces, at most eight. Their taps exist already, in `networkNamespace`.
  public var interfaces: [MachineInterface]

  public init(
    id: MachineID, displayName: String, vcpus: Int, memory: ByteCount, uid: UInt32, gid: UInt32,
    networkNamespace: String?, secret: String, disks: [MachineDisk], interfaces: [MachineInterface] = []
  ) {
    self.id = id
    self.displayName = displayName
    self.vcpus = vcpus
    self.memory = memory
    self.uid = uid
    self.gid = gid
    self.networkNamespace = networkNamespace
    self.secret = secret
    self.disks = disks
    self.interfaces = interfaces
  }
}

/// A network interface of a machine, over a tap device that the caller made for the machine's user: with several
/// queues if the machine has several processors.
public struct MachineInterface: Sendable, Equatable {
  /// At most 15 characters of [a-zA-Z0-9_.-].
  public var tap: String
  /// Six hex bytes with colons: the guest's, which is the veth's.
  public var macAddress: String
  public init(tap: String, macAddress: String) {
    self.tap = tap
    self.macAddress = macAddress
  }
}

/// A SCSI disk of a machine. The guest finds it by `serial` (VPD page 0x80).
public struct MachineDisk: Sendable, Equatable {
  /// 1 to 20 characters of [a-z0-9-], unique in its machine.
  public var serial: String
  /// The files that make it up, in order. More than one, or a size that differs from the file's,
  /// only for read-only disks.
  public var extents: [Extent]
  public var readonly: Bool
  /// Whether the one extent is a block device of the host's, which outlives the machine: what the guest
  /// flushes is on it.
  public var isDevice: Bool

  public struct Extent: Sendable, Equatable {
    public var path: String
    /// A multiple of 512, at most the file's size rounded up to that.
    public var size: ByteCount
    public init(path: String, size: ByteCount) {
      self.path = path
      self.size = size
    }
  }

  public init(serial: String, extents: [Extent], readonly: Bool, isDevice: Bool = false) {
    self.serial = serial
    self.extents = extents
    self.readonly = readonly
    self.isDevice = isDevice
  }
}

/// A host directory shown to a guest by virtiofs.
public struct MachineShare: Sendable, Equatable {
  /// What the guest mounts it as, 1 to 36 characters of [a-z0-9-].
  public var tag: String
  public var directory: String
  public init(tag: String, directory: String) {
    self.tag = tag
    self.directory = directory
  }
}

/// Why a machine's process ended.
public enum MachineExit: Sendable, Equatable {
  /// `destroy` was called.
  case destroyed
  /// The guest powered itself off or rebooted (its agent died and the kernel panicked, for instance).
  case guestShutdown
  /// The guest's kernel panicked (pvpanic).
  case guestPanicked
  /// The QEMU process ended by itself or was killed.
  case processDied
  /// virtiofsd ended, and the machine was ended for it.
  case shareServerDied
}

/// A machine as the host sees it.
public struct MachineStatus: Sendable {
  public var accelerator: Accelerator
  public var qemuPID: Int32?
  public var vsockDevicePID: Int32?
  /// virtiofsd's, where there is a share.
  public var shareServerPID: Int32?
  public var vcpus: Int
  public var memory: ByteCount
  /// Resident set of the QEMU process.
  public var qemuResident: ByteCount
  public var disks: [MachineDisk]
  /// Only root reads it; what the guest wrote there is untrusted.
  public var consolePath: String
  public init(
    accelerator: Accelerator, qemuPID: Int32?, vsockDevicePID: Int32?, vcpus: Int, memory: ByteCount,
    qemuResident: ByteCount, disks: [MachineDisk], consolePath: String
  ) {
    self.accelerator = accelerator
    self.qemuPID = qemuPID
    self.vsockDevicePID = vsockDevicePID
    self.vcpus = vcpus
    self.memory = memory
    self.qemuResident = qemuResident
    self.disks = disks
    self.consolePath = consolePath
  }
}

extension MachineStatus {
  /// All processes that the machine is made of.
  public var processes: [Int32] { [qemuPID, vsockDevicePID, shareServerPID].compactMap(\.self) }
}
