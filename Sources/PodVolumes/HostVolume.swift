import Common
import LinuxSystem

/// How the guest is to be shown something of the host's.
public enum HostVolume: Sendable {
  /// By virtiofs.
  case share(HostSource)
  /// By virtiofs, and in containers that only read it as a copy that follows the kubelet's updates.
  case followed(HostSource)
  /// As memory of the guest's: what is in the host's is the pod's alone, so it need not be the host's.
  case memory(MemoryVolume)
}

/// An emptyDir with medium Memory.
public struct MemoryVolume: Sendable, Equatable {
  /// The same for all containers of a pod, and after a restart of the daemon.
  public var name: String
  public var size: ByteCount
  public var mode: UInt32
  public var uid: UInt32
  public var gid: UInt32
  /// A subPath of it; empty: all.
  public var subPath: String
}

extension HostVolume {
  /// Looks at what the source is. Blocks.
  public init(_ source: HostSource, _ table: MountTable) throws(BulkheadError) {
    if let memory = try MemoryVolume(source, table) {
      self = .memory(memory)
    } else if source.isDirectory, let volume = KubeletPath(source.path), volume.isWrittenAtomically {
      self = .followed(source)
    } else {
      self = .share(source)
    }
  }
}

extension MemoryVolume {
  /// Nil for what is not, or not in, an emptyDir that is a tmpfs. A subPath of one is a mount of its own, of
  /// the same tmpfs.
  init?(_ source: HostSource, _ table: MountTable) throws(BulkheadError) {
    guard source.filesystem.type == HostSource.tmpfsMagic, let mount = table.entry(id: source.mountID) else {
      return nil
    }
    let volume = table.entries.first { entry in
      entry.device == mount.device && entry.root == [slash]
        && KubeletPath(String(decoding: entry.mountPoint, as: UTF8.self))?.plugin == .emptyDir
    }
    guard let volume else { return nil }
    let below = Array(source.path.utf8).dropFirst(mount.mountPoint == [slash] ? 0 : mount.mountPoint.count)
    let inside = String(decoding: (mount.root == [slash] ? [] : mount.root) + below, as: UTF8.self)
    // A single file of it can't be there before some container has written it in the guest.
    guard source.isDirectory else { return nil }
    let root = inside.isEmpty ? source : try HostSource(String(decoding: volume.mountPoint, as: UTF8.self))
    name = "m-" + Self.hash(volume.mountPoint)
    size = ByteCount(bytes: source.filesystem.bytes)
    (mode, uid, gid) = root.owner
    subPath = inside
  }

  /// FNV-1a; a name, not a secret.
  private static func hash(_ bytes: [UInt8]) -> String {
    let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return String(hash, radix: 16)
  }
}
