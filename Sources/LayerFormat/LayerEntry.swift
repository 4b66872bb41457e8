/// One entry of a layer as its index has it. Whiteouts are recognised already (OCI image
/// specification, layer.md); what they and hard links refer to is settled when layers are merged.
public struct LayerEntry: Equatable, Sendable {
  public var path: LayerPath
  public var content: Content

  public enum Content: Equatable, Sendable {
    case inode(Inode, InodeAttributes)
    /// Another name of a file of this layer, before it, or of a layer below.
    case hardLink(target: LayerPath)
    /// What the layers below have at the path is gone.
    case whiteout
    /// What the layers below have in this directory is gone.
    case opaque
  }

  public enum Inode: Equatable, Sendable {
    /// Contents lie at `block` of the layer's data blob, in one piece. An empty file has block 0.
    case file(size: UInt64, block: UInt32)
    case directory
    case symlink(target: [UInt8])
    case characterDevice(major: UInt32, minor: UInt32)
    case blockDevice(major: UInt32, minor: UInt32)
    case fifo
  }

  public init(path: LayerPath, content: Content) {
    self.path = path
    self.content = content
  }
}

public struct InodeAttributes: Equatable, Sendable {
  /// The twelve bits of permissions, set-id and sticky; not the type.
  public var mode: UInt16
  public var uid: UInt32
  public var gid: UInt32
  /// Seconds since 1970, and nanoseconds below a billion.
  public var modified: Int64
  public var modifiedNanoseconds: UInt32
  /// At most `FormatLimits.xattrTotal` bytes in all, names sorted and each once.
  public var xattrs: [ExtendedAttribute]

  public init(
    mode: UInt16, uid: UInt32, gid: UInt32, modified: Int64, modifiedNanoseconds: UInt32,
    xattrs: [ExtendedAttribute]
  ) {
    self.mode = mode
    self.uid = uid
    self.gid = gid
    self.modified = modified
    self.modifiedNanoseconds = modifiedNanoseconds
    self.xattrs = xattrs
  }
}

/// An extended attribute: its whole name ("user.x"), and its value as the file has it.
public struct ExtendedAttribute: Equatable, Sendable {
  public var name: [UInt8]
  public var value: [UInt8]

  public init(name: [UInt8], value: [UInt8]) {
    self.name = name
    self.value = value
  }
}
