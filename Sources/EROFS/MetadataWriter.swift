import LayerFormat

/// Writes the metadata of an EROFS image: everything but regular files' contents, which lie behind it
/// in the same address space. The kernel from 5.4 on mounts it; inodes are of the extended kind, since
/// only they have a time of their own and owners of 32 bits.
///
/// The same tree and uuid give the same bytes.
public struct MetadataWriter {
  private let tree: FilesystemTree
  private let layout: ImageLayout
  private let uuid: [UInt8]

  /// `uuid` is of 16 bytes. Throws if metadata and data are more than EROFS can address.
  public init(_ tree: FilesystemTree, uuid: [UInt8]) throws(LayerFormatError) {
    self.tree = tree
    self.uuid = uuid
    layout = try ImageLayout(tree)
  }

  /// Of the metadata, in bytes: a multiple of 4096.
  public var size: UInt64 { UInt64(layout.metadataBlocks) * UInt64(OnDisk.blockSize) }

  /// Hands the metadata to `sink` in order, a megabyte or so at a time.
  public func write(to sink: @escaping ([UInt8]) throws -> Void) throws {
    var output = Output(sink: sink)
    // The root is the first inode, right behind the superblock: its number has 16 bits only.
    let superblock = Superblock(
      inodes: UInt64(tree.nodes.count), blocks: layout.totalBlocks,
      rootNumber: UInt16(OnDisk.blockSize / OnDisk.inodeSlot), uuid: uuid)
    try output.append(superblock.block())
    for index in tree.nodes.indices { try writeInode(index, to: &output) }
    for index in tree.nodes.indices { try writeBlocks(index, to: &output) }
    try output.pad(to: Int(size))
    try output.flush()
  }

  private func writeInode(_ index: Int, to output: inout Output) throws {
    let place = layout.places[index]
    try output.pad(to: place.offset)
    try output.append(inode(index) + place.xattrs)
    if place.inlineSize > 0 {
      try output.append(contents(index).suffix(place.inlineSize))
    }
  }

  /// The whole blocks of a directory or link.
  private func writeBlocks(_ index: Int, to output: inout Output) throws {
    let place = layout.places[index]
    guard tree.nodes[index].content.isMetadata, place.block > 0 else { return }
    try output.pad(to: Int(place.block) * OnDisk.blockSize)
    try output.append(contents(index).dropLast(place.inlineSize))
  }

  private func contents(_ index: Int) -> [UInt8] {
    if case .symlink(let target) = tree.nodes[index].content { return target }
    return layout.directories[index]?.bytes { layout.places[$0].number } ?? []
  }

  private func inode(_ index: Int) -> [UInt8] {
    let node = tree.nodes[index]
    let place = layout.places[index]
    let xattrWords = place.xattrs.isEmpty ? 0 : (place.xattrs.count - OnDisk.xattrHeaderSize) / 4 + 1
    var out: [UInt8] = []
    out.reserveCapacity(OnDisk.extendedInodeSize)
    out.appendLittleEndian(place.layout.rawValue << 1 | 1)
    out.appendLittleEndian(UInt16(truncatingIfNeeded: xattrWords))
    out.appendLittleEndian(node.content.modeType | node.attributes.mode & 0o7777)
    out.appendLittleEndian(UInt16(0))
    out.appendLittleEndian(place.size)
    out.appendLittleEndian(blockOrDevice(node.content, place))
    out.appendLittleEndian(UInt32(truncatingIfNeeded: index + 1))
    out.appendLittleEndian(node.attributes.uid)
    out.appendLittleEndian(node.attributes.gid)
    out.appendLittleEndian(node.attributes.modified)
    out.appendLittleEndian(node.attributes.modifiedNanoseconds)
    out.appendLittleEndian(place.links)
    out.pad(to: OnDisk.extendedInodeSize)
    return out
  }

  private func blockOrDevice(_ content: FilesystemTree.Content, _ place: ImageLayout.Place) -> UInt32 {
    switch content {
    case .characterDevice(let major, let minor), .blockDevice(let major, let minor):
      // The kernel's new_encode_dev: 12 bits of major amid 20 of minor.
      minor & 0xff | (major & 0xfff) << 8 | (minor & 0xfff00) << 12
    default: place.block
    }
  }
}

/// Bytes on their way to a sink, with their position.
private struct Output {
  let sink: ([UInt8]) throws -> Void
  private var pending: [UInt8] = []
  private var flushed = 0

  init(sink: @escaping ([UInt8]) throws -> Void) { self.sink = sink }

  mutating func append(_ bytes: some Collection<UInt8>) throws {
    pending.append(contentsOf: bytes)
    if pending.count >= 1 << 20 { try flush() }
  }

  mutating func pad(to position: Int) throws { pending.pad(to: position - flushed) }

  mutating func flush() throws {
    try sink(pending)
    flushed += pending.count
    pending.removeAll(keepingCapacity: true)
  }
}
