import Common
import LinuxSystem
import PodVolumes

/// A mount of a host path as it was asked for, and what follows from what lies there.
struct HostMount: Sendable {
  var path: String
  var destination: String
  var propagation: ShareEntry.Propagation
  var readonly: VolumeMount.ReadOnly

  enum Resolved: Sendable {
    case memory(PodVolumes.MemoryVolume)
    case share(Share)
  }

  struct Share: Sendable {
    var source: HostSource
    var key: ShareEntry.Key
    /// Whether the guest shows it as a copy that follows the kubelet's updates.
    var follows: Bool
    /// Of the mount in the container.
    var guestOptions: [String]
  }

  /// Opens the path and looks at what is there. Blocks.
  func resolve() throws -> Resolved {
    let source = try HostSource(path)
    let table = try MountTable.current()
    switch try HostVolume(source, table) {
    case .memory(let memory): return .memory(memory)
    case .share(let source): return .share(try share(source, table, follows: false))
    case .followed(let source): return .share(try share(source, table, follows: readonly != .no))
    }
  }

  private func share(_ source: HostSource, _ table: MountTable, follows: Bool) throws(BulkheadError) -> Share {
    if propagation == .slave, !source.isPropagated(in: table) {
      throw BulkheadError(
        .failedPrecondition,
        "mount \(printable(destination)): \(printable(source.path)) is not on a shared or slave mount of the host, so no mounts can propagate from it; make it one with: mount --make-rshared"
      )
    }
    let seal: ShareEntry.Seal
    switch readonly {
    case .recursive: seal = .recursive
    // The guest can't make a mount read-only without all that appears below it later. Only the host can, and
    // for such an entry it has to stay so.
    case .top where propagation == .slave || table.hasMounts(below: source.path): seal = .top
    case .no, .top: seal = .open
    }
    var options = source.restrictions
    switch seal {
    case .recursive: options += ["ro", "rro"]
    case .top: break
    case .open: if readonly != .no { options.append("ro") }
    }
    return Share(
      source: source, key: ShareEntry.Key(source, propagation, seal), follows: follows, guestOptions: options)
  }
}
