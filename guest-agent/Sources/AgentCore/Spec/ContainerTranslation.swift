import AgentProtocol
import CGuest
import ContainerInit
import GRPCCore
import Glibc

/// A CreateContainer request, validated, in the terms of those who carry it out.
struct ContainerPlan: Sendable {
  enum PIDNamespace: Sendable { case pod, own, guest, of(container: String) }

  var id: String
  var imageSerial: String
  /// But for the root's paths, which are not known yet.
  var job: ContainerJob
  var pidNamespace: PIDNamespace
  var settings: [CgroupSetting]
  /// What has to be there before the container is built.
  var volumes: Set<VolumeSource>
  /// The container's own, beside those that all have.
  var disks: [DiskDevice]
  /// Nil: all devices.
  var devices: [guest_device_rule]?
  var seccomp: Bulkhead_Agent_V1_Seccomp?
  var stdin: Bool
  var stdinOnce: Bool

  /// `podFiles` are the files of /etc that the pod provides. Throws INVALID_ARGUMENT.
  init(_ request: Bulkhead_Agent_V1_CreateContainerRequest, podFiles: [String]) throws {
    let spec = request.spec
    let linux = spec.linux
    id = try Validated.containerID(request.containerID)
    imageSerial = try Validated.serial(request.imageSerial, "image_serial")
    stdin = spec.stdin
    stdinOnce = spec.stdinOnce
    settings = try cgroupSettings(linux.resources, guest: GuestTopology.read())
    seccomp = linux.hasSeccomp ? linux.seccomp : nil
    pidNamespace = try Self.pidNamespace(linux.namespaces)

    job = ContainerJob()
    job.process = try ProcessPlan(spec.process)
    job.user = try UserPlan(spec.process.user)
    job.root.readonly = spec.root.readonly
    job.mounts = Defaults.mounts(
      try spec.mounts.map(MountPlan.init), privileged: linux.privileged, readonlyRoot: spec.root.readonly,
      podFiles: podFiles)
    volumes = Set(try spec.mounts.compactMap(VolumeSource.init))
    disks = try linux.devices.filter { !$0.serial.isEmpty }.map(DiskDevice.init)
    let devices = try linux.devices.filter(\.serial.isEmpty).map(DevicePlan.init)
    job.devices = devices + Defaults.devices.filter { standard in !devices.contains { $0.path == standard.path } }
    job.allDevices = linux.privileged
    job.maskedPaths = try linux.maskedPaths.map { try Validated.path($0, "masked_paths") } + Defaults.maskedPaths
    job.readonlyPaths = try linux.readonlyPaths.map { try Validated.path($0, "readonly_paths") }
    self.devices = linux.privileged ? nil : deviceRules(job.devices)
  }

  private static func pidNamespace(_ namespaces: Bulkhead_Agent_V1_Namespaces) throws -> PIDNamespace {
    switch namespaces.pid {
    case .pod: return .pod
    case .container: return .own
    case .node: return .guest
    case .target: return .of(container: try Validated.containerID(namespaces.pidTarget))
    case .UNRECOGNIZED(let number): throw invalid("namespaces.pid: \(number) is not known")
    }
  }
}

extension UserPlan {
  init(_ user: Bulkhead_Agent_V1_User) throws {
    self.init()
    name = try Validated.bytes(user.username, "process.user.username")
    uid = user.hasUid ? user.uid : nil
    gid = user.hasGid ? user.gid : nil
    additionalGroups = user.additionalGids
    imageGroups = user.imageGroups
    guard name.count <= 256, additionalGroups.count <= UserDatabase.groupLimit else {
      throw invalid("process.user is too long")
    }
    guard uid != .max, gid != .max, !additionalGroups.contains(.max) else {
      throw invalid("process.user: 4294967295 is no user or group")
    }
  }
}

extension DevicePlan {
  init(_ device: Bulkhead_Agent_V1_Device) throws {
    self.init()
    path = try Validated.path(device.path, "device path")
    guard device.type == "c" || device.type == "b" else {
      throw invalid("device \(shown(path)): type \"\(device.type.prefix(8))\" is neither c nor b")
    }
    isBlock = device.type == "b"
    major = device.major
    minor = device.minor
    mode = device.fileMode == 0 ? 0o666 : device.fileMode & 0o7777
    uid = device.uid
    gid = device.gid
  }
}

/// What a container that isn't privileged may do with devices: make nodes of all, use its own and terminals
/// (as every OCI runtime has it).
private func deviceRules(_ devices: [DevicePlan]) -> [guest_device_rule] {
  let (makeNode, all): (UInt32, UInt32) = (1, 7)
  let (block, character): (UInt32, UInt32) = (1, 2)
  var rules = [
    guest_device_rule(type: character, major: -1, minor: -1, access: makeNode),
    guest_device_rule(type: block, major: -1, minor: -1, access: makeNode),
    // /dev/console, /dev/ptmx, and the terminals of any devpts.
    guest_device_rule(type: character, major: 5, minor: 1, access: all),
    guest_device_rule(type: character, major: 5, minor: 2, access: all),
    guest_device_rule(type: character, major: 136, minor: -1, access: all),
  ]
  for device in devices {
    rules.append(
      guest_device_rule(
        type: device.isBlock ? block : character, major: Int64(device.major), minor: Int64(device.minor), access: all))
  }
  return rules
}
