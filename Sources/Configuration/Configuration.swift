import Common

/// All that an operator can set, with its defaults. What each key means, may be, and is called in
/// the file stands in `Setting.all`; this is only where the values end up.
public struct Configuration: Sendable, Equatable {
  public var daemon = Daemon()
  public var guest = Guest()
  public var vm = VirtualMachine()
  public var images = Images()
  public var network = Network()
  public var container = Container()
  public var streaming = Streaming()
  public var debug = Debug()
  public var libexec = Libexec()

  public init() {}

  public struct Daemon: Sendable, Equatable {
    public var stateDirectory = "/var/lib/bulkhead"
    public var runDirectory = "/run/bulkhead"
    /// Nil: `bulkhead.sock` in the run directory. See `Configuration.socket`.
    public var socket: String?
    public var logLevel = LogLevel.info
    public var logFormat = LogFormat.text
    public var cgroupDriver = CgroupDriverChoice.auto
  }

  public struct Guest: Sendable, Equatable {
    public var kernel = "/usr/lib/bulkhead/guest/vmlinux"
    public var bootImage = "/usr/lib/bulkhead/guest/boot.erofs"
  }

  public struct VirtualMachine: Sendable, Equatable {
    public var hypervisor = HypervisorMode.embed
    public var accelerator = AcceleratorChoice.auto
    public var vcpus = 1
    public var memory = ByteCount.mebibytes(256)
    /// Nil: as many as the node has.
    public var maxVCPUs: Int?
    /// Nil: as much as the node has.
    public var maxMemory: ByteCount?
    public var bootTimeout = Duration.seconds(60)
    public var scratchSize = ByteCount.gibibytes(10)
    public var uidBase: UInt32 = 1_879_048_192
    public var uidCount: UInt32 = 65536
    public var consoleLimit = ByteCount.mebibytes(1)
    public var emulator = "/usr/bin/qemu-system-x86_64"
    /// Nil: `libvirt` in the state directory. See `Configuration.libvirtRoot`.
    public var libvirtRoot: String?
  }

  public struct Images: Sendable, Equatable {
    public var certsDirectory = "/etc/bulkhead/certs.d"
    public var maxLayerBytes = ByteCount.gibibytes(32)
    public var maxLayerEntries = 1_000_000
    public var parallelLayers = 3
    public var unpackUID: UInt32 = 65534
    public var unpackGID: UInt32 = 65534
    public var pullIdleTimeout = Duration.seconds(60)
    public var pinned: [String] = []
  }

  public struct Network: Sendable, Equatable {
    public var cniConfigurationDirectory = "/etc/cni/net.d"
    public var cniBinaryDirectories = ["/opt/cni/bin", "/usr/lib/cni"]
    public var required = true
    public var maximumNetworks = 1
    public var pluginTimeout = Duration.seconds(30)
    public var addressAnnotations = false
  }

  public struct Container: Sendable, Equatable {
    /// Processes and threads a container; 0: no limit but the guest's.
    public var pidsLimit = 4096
    public var logLineMax = ByteCount(bytes: 16384)
    public var resourceLimits = [ResourceLimit(name: "nofile", soft: 1024, hard: 524_288)]
    public var stopTimeout = Duration.seconds(10)
    public var bidirectionalMounts = BidirectionalMounts.refuse
  }

  /// The server that exec, attach and port-forward are done with.
  public struct Streaming: Sendable, Equatable {
    /// An IPv4 or IPv6 loopback address.
    public var address = "127.0.0.1"
    /// 0: one that is free.
    public var port = 0
    public var idleTimeout = Duration.seconds(4 * 3600)
  }

  public struct Debug: Sendable, Equatable {
    public var guestShell = false
    public var image: String?
  }

  public struct Libexec: Sendable, Equatable {
    public var vsock = "/usr/libexec/bulkhead/bulkhead-vsock"
    public var unpack = "/usr/libexec/bulkhead/bulkhead-unpack"
    public var virtiofsd = "/usr/lib/qemu/virtiofsd"
  }
}

extension Configuration {
  /// Where the daemon listens.
  public var socket: String { daemon.socket ?? "\(daemon.runDirectory)/bulkhead.sock" }
  /// The root of the embedded libvirt.
  public var libvirtRoot: String { vm.libvirtRoot ?? "\(daemon.stateDirectory)/libvirt" }
}

public enum LogLevel: String, Sendable, CaseIterable {
  case trace, debug, info, notice, warning, error, critical
}

public enum LogFormat: String, Sendable, CaseIterable {
  case text, json
}

/// What the kubelet is told (RuntimeConfig).
public enum CgroupDriverChoice: String, Sendable, CaseIterable {
  case auto, cgroupfs, systemd
}

/// libvirt inside the daemon, or the node's own libvirtd.
public enum HypervisorMode: String, Sendable, CaseIterable {
  case embed, system
}

public enum AcceleratorChoice: String, Sendable, CaseIterable {
  case auto, kvm, tcg
}

/// What becomes of mounts with mountPropagation Bidirectional.
public enum BidirectionalMounts: String, Sendable, CaseIterable {
  case refuse
  case hostToContainer = "host_to_container"
}

/// A limit that every container starts with (setrlimit(2)).
public struct ResourceLimit: Sendable, Equatable {
  /// Lower case, without `RLIMIT_`: "nofile".
  public var name: String
  public var soft: UInt64
  public var hard: UInt64
  /// What `unlimited` in the file stands for, RLIM_INFINITY.
  public static let unlimited = UInt64.max

  public init(name: String, soft: UInt64, hard: UInt64) {
    self.name = name
    self.soft = soft
    self.hard = hard
  }
}
