import AgentProtocol
import CGuest
import ContainerInit
import Glibc
import GRPCCore
import LinuxSystem

/// A disk of the VM that one container has as a device.
struct DiskDevice: Sendable {
  var serial: String
  /// But for its numbers, which the disk has once it is found.
  var plan: DevicePlan
  /// BPF_DEVCG_ACC_*.
  var access: UInt32

  /// Throws INVALID_ARGUMENT.
  init(_ device: Bulkhead_Agent_V1_Device) throws {
    serial = try Validated.serial(device.serial, "device serial")
    plan = DevicePlan()
    plan.path = try Validated.path(device.path, "device path")
    plan.isBlock = true
    plan.mode = device.fileMode == 0 ? 0o660 : device.fileMode & 0o7777
    plan.uid = device.uid
    plan.gid = device.gid
    access = 0
    for letter in device.permissions.isEmpty ? "rwm" : device.permissions {
      switch letter {
      case "m": access |= 1
      case "r": access |= 2
      case "w": access |= 4
      default: throw invalid("device \(shown(plan.path)): permissions are of r, w and m")
      }
    }
  }

  /// The device with the numbers of `node`, and what the container may do with it. Blocks.
  func found(at node: String) throws -> (DevicePlan, guest_device_rule) {
    var status = stat()
    try systemCall("stat", subject: node) { stat(node, &status) }
    var plan = plan
    plan.major = guest_device_major(status.st_rdev)
    plan.minor = guest_device_minor(status.st_rdev)
    let (major, minor) = (Int64(plan.major), Int64(plan.minor))
    return (plan, guest_device_rule(type: 1, major: major, minor: minor, access: access))
  }
}
