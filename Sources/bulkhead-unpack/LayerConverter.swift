import Common
import LayerFormat
import LinuxSystem

/// Goes through a layer's tar and writes the blob and the index.
struct LayerConverter {
  private let maximumEntries: UInt32
  private var blob: BlobWriter
  private var index = IndexEncoder()

  private static let indexBuffer = 256 << 10

  init(options: UnpackOptions) {
    maximumEntries = options.maximumEntries
    blob = BlobWriter(descriptor: UnpackOptions.dataDescriptor, maximumSize: options.maximumSize)
  }

  mutating func convert(_ archive: TarArchive) throws {
    try archive.open()
    while let entry = try archive.next() {
      let path = try LayerPath(normalizing: entry.name)
      guard let content = try content(of: entry, at: path, in: archive) else { continue }
      guard index.count < maximumEntries else {
        throw LayerFormatError("the layer has more entries than the limit of \(maximumEntries)")
      }
      index.append(content)
      if index.bufferedCount >= Self.indexBuffer { try flushIndex() }
    }
  }

  /// Nil for an entry that is no part of the image.
  private mutating func content(
    of entry: TarEntry, at path: LayerPath, in archive: TarArchive
  ) throws -> LayerEntry? {
    switch try Whiteout(path) {
    case .reserved: return nil
    case .of(let hidden): return LayerEntry(path: hidden, content: .whiteout)
    case .opaque(let directory): return LayerEntry(path: directory, content: .opaque)
    case .none: break
    }
    if let target = entry.hardLinkTarget {
      return LayerEntry(path: path, content: .hardLink(target: try hardLinkTarget(target, of: path)))
    }
    let attributes = try entry.attributes(path)
    switch try entry.kind(path) {
    case .file(let size):
      guard !path.isRoot else { throw LayerFormatError("the layer's root is a file") }
      let block = try writeFile(size, path, archive)
      return LayerEntry(path: path, content: .inode(.file(size: size, block: block), attributes))
    case .other(let inode):
      guard !path.isRoot || inode == .directory else { throw LayerFormatError("the layer's root is no directory") }
      return LayerEntry(path: path, content: .inode(inode, attributes))
    }
  }

  private func hardLinkTarget(_ name: [UInt8], of path: LayerPath) throws -> LayerPath {
    guard !path.isRoot else { throw LayerFormatError("the layer's root is a hard link") }
    do throws(LayerFormatError) {
      return try LayerPath(normalizing: name)
    } catch {
      throw LayerFormatError("\(path) is a hard link out of the layer: \(error)")
    }
  }

  /// Returns the block at which the contents begin.
  private mutating func writeFile(_ size: UInt64, _ path: LayerPath, _ archive: TarArchive) throws -> UInt32 {
    guard size > 0 else { return 0 }
    let start = try blob.reserve(size, for: path)
    guard let block = UInt32(exactly: start / UInt64(FormatLimits.blockSize)) else {
      throw LayerFormatError("\(path) lies beyond what EROFS can address")
    }
    var written: UInt64 = 0
    try archive.readContents { bytes, offset in
      guard !bytes.isEmpty else { return }
      guard let offset = UInt64(exactly: offset), offset >= written, offset <= size,
        UInt64(bytes.count) <= size - offset
      else { throw LayerFormatError("\(path) has contents beyond its size") }
      try blob.write(bytes, at: start + offset)
      written = offset + UInt64(bytes.count)
    }
    return block
  }

  private mutating func flushIndex() throws {
    try writeAll(index.takeBuffer(), to: UnpackOptions.indexDescriptor)
  }

  /// Writes what is left of both files.
  mutating func finish(diffID: String) throws -> UnpackResult {
    try blob.finish()
    index.finish(dataSize: blob.end)
    try flushIndex()
    return UnpackResult(diffID: diffID, entries: index.count, dataSize: blob.end)
  }
}
