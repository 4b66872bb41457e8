import AgentProtocol
import CLinux
import ContainerInit
import Glibc

extension MountPlan {
  /// A mount of the specification; options as the OCI runtime specification lists them (config.md, Linux
  /// mount options). Throws INVALID_ARGUMENT.
  init(_ mount: Bulkhead_Agent_V1_Mount) throws {
    self.init()
    destination = try Validated.path(mount.destination, "mount destination")
    let volume = try VolumeSource(mount)
    let isBind =
      volume != nil || mount.type == "bind" || mount.options.contains("bind") || mount.options.contains("rbind")
    if let volume {
      kind = .recursiveBind
      source = Array(volume.path.utf8)
      subPath = try Validated.bytes(mount.subPath, "mount sub_path of \(shown(destination))")
    } else if isBind {
      kind = mount.options.contains("rbind") ? .recursiveBind : .bind
      source = try Validated.path(mount.source, "mount source of \(shown(destination))")
    } else {
      guard Self.filesystems.contains(mount.type) else {
        throw invalid("mount \(shown(destination)): type \"\(mount.type.prefix(32))\" is not supported")
      }
      type = Array(mount.type.utf8)
      source = try Validated.bytes(mount.source, "mount source of \(shown(destination))")
    }
    for option in mount.options { try apply(option, isBind: isBind) }
  }

  /// A filesystem of the guest's own choice.
  init(_ type: String, on destination: String, attributes: Int32, data: [String] = []) {
    self.init()
    self.type = Array(type.utf8)
    self.destination = Array(destination.utf8)
    self.attributes = UInt64(UInt32(bitPattern: attributes))
    self.data = data.map { Array($0.utf8) }
  }

  private static let filesystems: Set<String> = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2"]

  private mutating func apply(_ option: String, isBind: Bool) throws {
    if ["bind", "rbind", "defaults", ""].contains(option) { return }
    if let (propagation, recursive) = Self.propagations[option] {
      self.propagation = UInt64(propagation)
      recursivePropagation = recursive
    } else if let attribute = Self.set[option] {
      attributes |= UInt64(UInt32(bitPattern: attribute))
    } else if let attribute = Self.cleared[option] {
      clearedAttributes |= UInt64(UInt32(bitPattern: attribute))
      attributes &= ~UInt64(UInt32(bitPattern: attribute))
    } else if option.first == "r", let attribute = Self.set[String(option.dropFirst())] {
      recursiveAttributes |= UInt64(UInt32(bitPattern: attribute))
    } else if isBind {
      throw invalid("mount \(shown(destination)): option \"\(option.prefix(64))\" is not known for a bind mount")
    } else {
      data.append(try Validated.text(option, "mount option of \(shown(destination))"))
    }
  }

  private static let set: [String: Int32] = [
    "ro": MOUNT_ATTR_RDONLY, "nosuid": MOUNT_ATTR_NOSUID, "nodev": MOUNT_ATTR_NODEV, "noexec": MOUNT_ATTR_NOEXEC,
    "noatime": MOUNT_ATTR_NOATIME, "strictatime": MOUNT_ATTR_STRICTATIME, "relatime": MOUNT_ATTR_RELATIME,
    "nodiratime": MOUNT_ATTR_NODIRATIME, "nosymfollow": MOUNT_ATTR_NOSYMFOLLOW,
  ]
  private static let cleared: [String: Int32] = [
    "rw": MOUNT_ATTR_RDONLY, "suid": MOUNT_ATTR_NOSUID, "dev": MOUNT_ATTR_NODEV, "exec": MOUNT_ATTR_NOEXEC,
    "diratime": MOUNT_ATTR_NODIRATIME, "symfollow": MOUNT_ATTR_NOSYMFOLLOW,
  ]
  private static let propagations: [String: (Int, Bool)] = [
    "private": (MS_PRIVATE, false), "rprivate": (MS_PRIVATE, true), "slave": (MS_SLAVE, false),
    "rslave": (MS_SLAVE, true), "shared": (MS_SHARED, false), "rshared": (MS_SHARED, true),
    "unbindable": (MS_UNBINDABLE, false), "runbindable": (MS_UNBINDABLE, true),
  ]
}
