import Common
import Hypervisor
import Images
import LinuxSystem
import Logging
import PodNetwork

/// What every pod of this node shares. Made once by the daemon.
public struct NodeServices: Sendable {
  let configuration: PodsConfiguration
  let hypervisor: any Hypervisor
  let images: ImageStore
  let logger: Logger
  let journal: Journal
  let snapshot: SnapshotStore
  let scratch: ScratchDisks
  let network: NodeNetwork
  /// Waits for the streams of forwarded ports.
  let reactor: Reactor
}

/// The node's settings that pods need. Paths are absolute.
public struct PodsConfiguration: Sendable {
  /// Survives a reboot: database, scratch disks.
  public var stateDirectory: String
  /// Volatile: namespaces, log states.
  public var runDirectory: String
  /// From the start of the VM to its agent's answer.
  public var bootTimeout: Duration
  public var scratchSize: ByteCount
  public var defaultVCPUs: Int
  public var defaultMemory: ByteCount
  public var maximumVCPUs: Int
  public var maximumMemory: ByteCount
  /// VMs run as users `firstUID ..< firstUID + uidCount`, one each.
  public var firstUID: UInt32
  public var uidCount: UInt32
  public var pidsLimit: Int64
  /// Limits of every container's processes: RLIMIT name, soft, hard.
  public var rlimits: [(type: String, soft: UInt64, hard: UInt64)]
  /// Bytes after which a log line is split.
  public var logLineMaximum: Int
  /// Whether mounts that should propagate both ways are made as if from the host to the container alone.
  public var lowersBidirectionalMounts = false
  /// Whether pods may choose addresses by annotations (NetworkAnnotation).
  public var addressAnnotations = false

  public init(
    stateDirectory: String, runDirectory: String, bootTimeout: Duration, scratchSize: ByteCount, defaultVCPUs: Int,
    defaultMemory: ByteCount, maximumVCPUs: Int, maximumMemory: ByteCount, firstUID: UInt32, uidCount: UInt32,
    pidsLimit: Int64, rlimits: [(type: String, soft: UInt64, hard: UInt64)], logLineMaximum: Int
  ) {
    self.stateDirectory = stateDirectory
    self.runDirectory = runDirectory
    self.bootTimeout = bootTimeout
    self.scratchSize = scratchSize
    self.defaultVCPUs = defaultVCPUs
    self.defaultMemory = defaultMemory
    self.maximumVCPUs = maximumVCPUs
    self.maximumMemory = maximumMemory
    self.firstUID = firstUID
    self.uidCount = uidCount
    self.pidsLimit = pidsLimit
    self.rlimits = rlimits
    self.logLineMaximum = logLineMaximum
  }

  func podDirectory(_ id: PodID) -> String { "\(runDirectory)/pods/\(id)" }
  func shareDirectory(_ id: PodID) -> String { "\(runDirectory)/shares/\(id)" }
  func networkNamespace(_ id: PodID) -> String { "\(runDirectory)/netns/\(id)" }
  func attachments(_ id: PodID) -> String { "\(stateDirectory)/networks/\(id)" }
  func scratchDisk(_ id: PodID) -> String { "\(stateDirectory)/scratch/\(id).img" }
}
