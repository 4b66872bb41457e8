import AgentProtocol
import ContainerInit

/// Something of the pod's that containers mount, and that is made when the first of them does.
enum VolumeSource: Hashable, Sendable {
  /// An entry of the virtiofs share.
  case share(name: String)
  /// The same, shown as a copy that follows it.
  case followed(name: String)
  /// `subPath` is made if it is missing.
  case memory(name: String, MemoryPlan, subPath: [UInt8])
  case image(serial: String)

  struct MemoryPlan: Hashable, Sendable {
    /// 0: the kernel's default.
    var bytes: UInt64
    var mode: UInt32
    var uid: UInt32
    var gid: UInt32
  }

  /// Nil for a mount that is no volume's. Throws INVALID_ARGUMENT.
  init?(_ mount: Bulkhead_Agent_V1_Mount) throws {
    let name = String(decoding: mount.source, as: UTF8.self)
    switch mount.type {
    case "share": self = .share(name: try Validated.volume(name))
    case "follow": self = .followed(name: try Validated.volume(name))
    case "memory":
      self = .memory(
        name: try Validated.volume(name),
        MemoryPlan(
          bytes: mount.memory.sizeBytes, mode: mount.memory.mode & 0o7777, uid: mount.memory.uid, gid: mount.memory.gid),
        subPath: try Validated.bytes(mount.subPath, "mount sub_path"))
    case "image": self = .image(serial: try Validated.serial(name, "mount source"))
    default: return nil
    }
  }

  /// Where in the guest it is.
  var path: String {
    switch self {
    case .share(let name): "\(GuestPath.share)/\(name)"
    case .followed(let name): "\(GuestPath.followed)/\(name)"
    case .memory(let name, _, _): "\(GuestPath.memory)/\(name)"
    case .image(let serial): "\(GuestPath.images)/\(serial)"
    }
  }
}

extension Validated {
  /// A volume's name, fit to be a file's.
  static func volume(_ text: String) throws -> String { try serial(text, "mount source") }
}
