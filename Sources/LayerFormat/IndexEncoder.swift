/// The index of a layer's entries: eight bytes of magic and version, a record an entry in the tar's
/// order, and an end record with their number and the blob's size. Integers are little-endian;
/// a record is its kind (one byte), its path (length in two bytes), and what the kind calls for.
enum IndexFormat {
  static let magic = Array("BHLAYER1".utf8)

  enum Kind: UInt8 {
    case end, file, directory, symlink, characterDevice, blockDevice, fifo, hardLink, whiteout, opaque
  }
}

/// Writes an index, handing its bytes on a buffer at a time.
public struct IndexEncoder {
  private var buffer = IndexFormat.magic
  /// Entries so far.
  public private(set) var count: UInt32 = 0

  public init() {}

  public mutating func append(_ entry: LayerEntry) {
    count &+= 1
    switch entry.content {
    case .inode(let inode, let attributes):
      begin(kind(of: inode), entry.path)
      append(attributes)
      append(inode)
    case .hardLink(let target):
      begin(.hardLink, entry.path)
      appendCounted(target.bytes)
    case .whiteout: begin(.whiteout, entry.path)
    case .opaque: begin(.opaque, entry.path)
    }
  }

  /// The end record. `dataSize` is the blob's, in bytes.
  public mutating func finish(dataSize: UInt64) {
    buffer.append(IndexFormat.Kind.end.rawValue)
    append(count)
    append(dataSize)
  }

  /// How much `takeBuffer` would return.
  public var bufferedCount: Int { buffer.count }

  /// What was written since the last call.
  public mutating func takeBuffer() -> [UInt8] {
    defer { buffer.removeAll(keepingCapacity: true) }
    return buffer
  }

  private mutating func begin(_ kind: IndexFormat.Kind, _ path: LayerPath) {
    buffer.append(kind.rawValue)
    appendCounted(path.bytes)
  }

  private mutating func append(_ attributes: InodeAttributes) {
    append(attributes.mode)
    append(attributes.uid)
    append(attributes.gid)
    append(attributes.modified)
    append(attributes.modifiedNanoseconds)
    append(UInt16(truncatingIfNeeded: attributes.xattrs.count))
    for xattr in attributes.xattrs {
      appendCounted(xattr.name)
      appendCounted(xattr.value)
    }
  }

  private func kind(of inode: LayerEntry.Inode) -> IndexFormat.Kind {
    switch inode {
    case .file: .file
    case .directory: .directory
    case .symlink: .symlink
    case .characterDevice: .characterDevice
    case .blockDevice: .blockDevice
    case .fifo: .fifo
    }
  }

  private mutating func append(_ inode: LayerEntry.Inode) {
    switch inode {
    case .file(let size, let block):
      append(size)
      append(block)
    case .symlink(let target): appendCounted(target)
    case .characterDevice(let major, let minor), .blockDevice(let major, let minor):
      append(major)
      append(minor)
    case .directory, .fifo: break
    }
  }

  /// Every caller's bytes are within `FormatLimits`, all of which two bytes can count.
  private mutating func appendCounted(_ bytes: [UInt8]) {
    append(UInt16(truncatingIfNeeded: bytes.count))
    buffer.append(contentsOf: bytes)
  }

  private mutating func append(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { buffer.append(contentsOf: $0) }
  }
}
