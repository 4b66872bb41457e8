import LayerFormat

/// What a filesystem is to hold: inodes, of which the first is the root directory, and the names that
/// directories give them. Several names of one inode are hard links; a directory has one.
public struct FilesystemTree {
  public struct Node {
    public var attributes: InodeAttributes
    public var content: Content

    public init(attributes: InodeAttributes, content: Content) {
      self.attributes = attributes
      self.content = content
    }
  }

  public enum Content {
    /// `block` counts from the start of the data, which follows the metadata.
    case file(size: UInt64, block: UInt64)
    /// In any order; without "." and "..".
    case directory([Name])
    case symlink(target: [UInt8])
    case characterDevice(major: UInt32, minor: UInt32)
    case blockDevice(major: UInt32, minor: UInt32)
    case fifo
  }

  public struct Name {
    /// 1 to 255 bytes without "/" and NUL.
    public var name: [UInt8]
    /// An index in `nodes`.
    public var node: Int

    public init(name: [UInt8], node: Int) {
      self.name = name
      self.node = node
    }
  }

  public var nodes: [Node]
  /// Blocks of data behind the metadata.
  public var dataBlocks: UInt64

  public init(nodes: [Node], dataBlocks: UInt64) {
    self.nodes = nodes
    self.dataBlocks = dataBlocks
  }
}
