/// Something of the host's in a pod's share: what containers that ask for the same thing have in common, so
/// that they see the same files, pages and sockets.
public struct ShareEntry: Codable, Sendable, Hashable {
  /// What the guest sees it as, in the share's directory.
  public var name: String
  public var key: Key

  public struct Key: Codable, Sendable, Hashable {
    public var path: String
    public var device: UInt64
    public var inode: UInt64
    public var propagation: Propagation
    public var seal: Seal

    public init(_ source: HostSource, _ propagation: Propagation, _ seal: Seal) {
      path = source.path
      device = source.device
      inode = source.inode
      self.propagation = propagation
      self.seal = seal
    }
  }

  /// Whether mounts that the host makes below it later are seen.
  public enum Propagation: String, Codable, Sendable { case `private`, slave }

  /// What keeps it from being written.
  public enum Seal: String, Codable, Sendable {
    /// Read-only until a container asks for more.
    case open
    /// Read-only for good, but not what is mounted below it.
    case top
    /// Read-only for good with all that is mounted below it.
    case recursive
  }

  public init(key: Key) {
    self.key = key
    name = "v-" + String(UInt64.random(in: 0 ... .max), radix: 16)
  }
}
