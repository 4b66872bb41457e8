import Common
import Hypervisor

/// Where the hypervisor finds and keeps its things. All paths are absolute.
public struct LibvirtConfiguration: Sendable {
  /// Which libvirt runs the machines.
  public enum Connection: Sendable, Equatable {
    /// libvirt's QEMU driver inside this process, with its state under `root` (at most 40 bytes long:
    /// monitor sockets lie below it). Needs no libvirtd; machines outlive the process.
    case embedded(root: String)
    /// The node's own libvirtd or virtqemud, so that virsh shows the machines. It must be in the calling
    /// process' network and mount namespaces. QEMU runs in that network namespace and not in the pod's.
    case system
  }

  /// How guests are to run.
  public enum AcceleratorChoice: String, Sendable, CaseIterable, Codable {
    /// KVM if a test guest really runs on it, else TCG.
    case auto
    case kvm
    case tcg
  }

  public var connection: Connection
  /// What must survive a reboot: which machine was given access to which files.
  public var stateDirectory: String
  /// A directory per machine, with sockets (so at most 60 bytes long), console and secret.
  public var runDirectory: String
  public var kernel: String
  public var bootImage: String
  public var emulator = "/usr/bin/qemu-system-x86_64"
  public var virtiofsd = "/usr/lib/qemu/virtiofsd"
  /// Our vhost-user-vsock device, for hosts without /dev/vhost-vsock.
  public var vsockDevice: String
  public var accelerator = AcceleratorChoice.auto
  /// Why that accelerator, for messages: "BULKHEAD_ACCEL=tcg", "accelerator in /etc/...".
  public var acceleratorReason = "as configured"
  public var maximumVCPUs = 64
  public var maximumMemory = ByteCount.gibibytes(512)

  public init(
    connection: Connection, stateDirectory: String, runDirectory: String, kernel: String, bootImage: String,
    vsockDevice: String
  ) {
    self.connection = connection
    self.stateDirectory = stateDirectory
    self.runDirectory = runDirectory
    self.kernel = kernel
    self.bootImage = bootImage
    self.vsockDevice = vsockDevice
  }
}
