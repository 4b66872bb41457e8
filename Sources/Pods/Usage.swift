import Common

/// What a pod used at one moment, as its guest says: counted for people and schedulers, and not to be trusted.
public struct PodUsage: Sendable {
  public var podID: PodID
  /// When the guest was asked, nanoseconds since 1970 by the host's clock.
  public var time: Int64
  /// All containers together.
  public var total: ResourceUsage
  public var containers: [ContainerID: ContainerUsage]
  public var interfaces: [InterfaceUsage]
  /// The disk that holds the writable layers.
  public var scratch: FilesystemSize
}

public struct ContainerUsage: Sendable {
  public var resources: ResourceUsage
  /// Nil where the guest can't tell.
  public var writableBytes: UInt64?
  public var writableInodes: UInt64?
  /// Nil where it was not asked for.
  public var processes: ProcessDetails?
}

/// What a container's processes have open and do.
public struct ProcessDetails: Sendable, Hashable {
  public var fileDescriptors: UInt64
  public var sockets: UInt64
  /// The soft limit of the container's first process; nil: none.
  public var openFilesLimit: UInt64?
  public var running: UInt64
  public var sleeping: UInt64
  public var stopped: UInt64
  public var uninterruptible: UInt64
}

/// Counters count since the container was made. Memory in bytes.
public struct ResourceUsage: Sendable {
  public var cpuNanoseconds: UInt64
  public var cpuUserNanoseconds: UInt64
  public var cpuSystemNanoseconds: UInt64
  public var cpuPeriods: UInt64
  public var cpuThrottledPeriods: UInt64
  public var cpuThrottledNanoseconds: UInt64
  /// Of one core's nanoseconds a second; nil until there are two samples.
  public var cpuNanoCores: UInt64?
  public var memory: UInt64
  public var memoryPeak: UInt64
  /// Nil: none.
  public var memoryLimit: UInt64?
  public var anonymous: UInt64
  public var file: UInt64
  public var inactiveFile: UInt64
  public var activeFile: UInt64
  public var mappedFile: UInt64
  public var kernelMemory: UInt64
  public var pageFaults: UInt64
  public var majorPageFaults: UInt64
  public var memoryLimitHits: UInt64
  public var oomKills: UInt64
  public var swap: UInt64
  public var processes: UInt64
  public var threads: UInt64
  /// Nil: none.
  public var threadsLimit: UInt64?
  public var cpuPressure: Pressure
  public var memoryPressure: Pressure
  public var ioPressure: Pressure
  public var disks: [DiskUsage]

  /// As cAdvisor has it: without the file pages that nobody looked at lately.
  public var workingSet: UInt64 { memory > inactiveFile ? memory - inactiveFile : 0 }
}

/// Pressure stall information (PSI).
public struct Pressure: Sendable {
  public struct Line: Sendable {
    public var nanoseconds: UInt64
    /// Percent.
    public var average10s: Double
    public var average60s: Double
    public var average300s: Double
  }
  public var some: Line
  public var full: Line
}

public struct DiskUsage: Sendable {
  public var major: UInt32
  public var minor: UInt32
  /// "/dev/sda", as the guest names it.
  public var device: String
  public var readBytes: UInt64
  public var writtenBytes: UInt64
  public var reads: UInt64
  public var writes: UInt64
}

public struct InterfaceUsage: Sendable {
  public var name: String
  public var receivedBytes: UInt64
  public var receivedPackets: UInt64
  public var receiveErrors: UInt64
  public var receiveDrops: UInt64
  public var sentBytes: UInt64
  public var sentPackets: UInt64
  public var sendErrors: UInt64
  public var sendDrops: UInt64
}

public struct FilesystemSize: Sendable {
  public var size: UInt64
  public var available: UInt64
  public var inodes: UInt64
  public var freeInodes: UInt64
}
