import LayerFormat

/// Where everything of an image lies, decided before the first byte is written: block 0 with the
/// superblock, the inodes with what fits behind them, whole blocks of directories and long links, and
/// then the data, which is not part of the metadata.
struct ImageLayout {
  struct Place {
    /// Of the inode, in bytes; a multiple of 32.
    var offset: Int
    var xattrs: [UInt8]
    var layout: DataLayout
    /// The first block of the contents; 0 if there is none.
    var block: UInt32
    /// Bytes of the contents behind the inode.
    var inlineSize: Int
    /// Bytes of the contents.
    var size: UInt64
    var links: UInt32

    var number: UInt64 { UInt64(offset / OnDisk.inodeSlot) }
  }

  private(set) var places: [Place] = []
  private(set) var directories: [Int: DirectoryData] = [:]
  let metadataBlocks: UInt32
  let totalBlocks: UInt32

  init(_ tree: FilesystemTree) throws(LayerFormatError) {
    let (parents, links) = Self.linksAndParents(tree)
    var cursor = OnDisk.blockSize
    var contentBlocks: [Int] = []
    for (index, node) in tree.nodes.enumerated() {
      var place = Place(
        offset: 0, xattrs: xattrBody(node.attributes.xattrs), layout: .plain, block: 0, inlineSize: 0, size: 0,
        links: links[index])
      switch node.content {
      case .file(let size, _): place.size = size
      case .symlink(let target): place.size = UInt64(target.count)
      case .directory(let names):
        let data = Self.directory(names, index, parent: parents[index], tree)
        directories[index] = data
        place.size = UInt64(data.size)
      case .characterDevice, .blockDevice, .fifo: break
      }
      contentBlocks.append(Self.arrange(&place, isMetadata: node.content.isMetadata, at: &cursor))
      places.append(place)
    }
    var nextBlock = UInt64(roundUp(cursor, to: OnDisk.blockSize) / OnDisk.blockSize)
    for (index, count) in contentBlocks.enumerated() where count > 0 {
      places[index].block = UInt32(truncatingIfNeeded: nextBlock)
      nextBlock += UInt64(count)
    }
    let (total, overflow) = nextBlock.addingReportingOverflow(tree.dataBlocks)
    guard !overflow, let metadataBlocks = UInt32(exactly: nextBlock), let totalBlocks = UInt32(exactly: total) else {
      throw LayerFormatError("the image is larger than the 16 TiB that EROFS can address")
    }
    self.metadataBlocks = metadataBlocks
    self.totalBlocks = totalBlocks
    for (index, node) in tree.nodes.enumerated() {
      guard case .file(let size, let block) = node.content, size > 0 else { continue }
      places[index].block = UInt32(truncatingIfNeeded: nextBlock + block)
    }
  }

  /// Places the inode at or after `cursor`, and returns how many whole blocks its contents take of the
  /// metadata. What is read in one piece does not cross a block: the inode, and contents behind it.
  private static func arrange(_ place: inout Place, isMetadata: Bool, at cursor: inout Int) -> Int {
    let head = OnDisk.extendedInodeSize + place.xattrs.count
    let size = isMetadata ? Int(place.size) : 0
    let tail = size % OnDisk.blockSize
    var blocks = size / OnDisk.blockSize
    if tail > 0, head + tail <= OnDisk.blockSize {
      place.layout = .inline
      place.inlineSize = tail
    } else if tail > 0 {
      blocks += 1
    }
    let whole = place.layout == .inline ? head + tail : OnDisk.extendedInodeSize
    let room = OnDisk.blockSize - cursor % OnDisk.blockSize
    if whole > room { cursor += room }
    place.offset = cursor
    cursor = roundUp(cursor + head + place.inlineSize, to: OnDisk.inodeSlot)
    return blocks
  }

  private static func directory(
    _ names: [FilesystemTree.Name], _ index: Int, parent: Int, _ tree: FilesystemTree
  ) -> DirectoryData {
    var entries = names.map {
      DirectoryData.Entry(name: $0.name, node: $0.node, type: tree.nodes[$0.node].content.fileType)
    }
    entries.append(.init(name: Array(".".utf8), node: index, type: .directory))
    entries.append(.init(name: Array("..".utf8), node: parent, type: .directory))
    return DirectoryData(entries)
  }

  /// The directory that each directory is in, the root in itself; and each inode's number of links,
  /// where a directory has one from its name, one from its "." and one from each child's "..".
  private static func linksAndParents(_ tree: FilesystemTree) -> (parents: [Int], links: [UInt32]) {
    var parents = [Int](repeating: 0, count: tree.nodes.count)
    var links = [UInt32](repeating: 0, count: tree.nodes.count)
    if !links.isEmpty { links[0] = 1 }
    for (index, node) in tree.nodes.enumerated() {
      guard case .directory(let names) = node.content else { continue }
      links[index] += 1
      for name in names {
        links[name.node] += 1
        guard case .directory = tree.nodes[name.node].content else { continue }
        parents[name.node] = index
        links[index] += 1
      }
    }
    return (parents, links)
  }
}

extension FilesystemTree.Content {
  /// Whether the contents are part of the metadata, not of the data behind it.
  var isMetadata: Bool {
    switch self {
    case .directory, .symlink: true
    case .file, .characterDevice, .blockDevice, .fifo: false
    }
  }
}
