import Common
import Hypervisor

/// A machine as libvirt is told of it: every path, uid and address decided.
struct Domain: Sendable {
  var id: MachineID
  /// For people who look at it with virsh.
  var title: String
  var platform: GuestPlatform
  var accelerator: Accelerator
  var emulator: String
  var vcpus: Int
  var memory: ByteCount
  var uid: UInt32
  var gid: UInt32
  var kernel: String
  var bootImage: String
  var consolePath: String
  var secretPath: String
  var vsock: Vsock
  var disks: [DomainDisk]
  var interfaces: [MachineInterface]

  enum Vsock: Sendable, Equatable {
    /// The kernel's vhost-vsock.
    case kernel(cid: UInt32)
    /// A vhost-user-vsock device that listens at this socket.
    case device(socketPath: String)
  }
}

/// A SCSI disk as QEMU opens it: a raw file, or a VMDK descriptor of several.
struct DomainDisk: Sendable, Equatable {
  enum Format: String, Sendable, Codable { case raw, vmdk }

  var serial: String
  var path: String
  var format: Format
  var readonly: Bool
  /// Its logical unit on the one SCSI target that there is.
  var unit: Int
  /// The logical block size of a block device; nil for a file.
  var deviceBlockSize: UInt32?
}

/// A virtiofs share, served at a socket.
struct DomainShare: Sendable, Equatable {
  var tag: String
  var socketPath: String
}

/// Where devices sit on the PCI root bus. Fixed, because QEMU's command line adds the vsock device
/// past libvirt, and because devices behind bridges would cost each boot the probing of the bridges.
enum PCISlot: Int {
  case bootDisk = 1
  case scsi, vsock, random, balloon
  /// Behind which a share is plugged into a running machine.
  case hotplugPort
  /// And one more a network interface.
  case firstInterface
}
