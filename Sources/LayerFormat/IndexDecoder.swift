/// Reads an index entry by entry. Whoever wrote it is not trusted: every field is checked as if by
/// the unpacker, and a mistake is an error, never a trap. Memory stays at one record and a buffer.
public struct IndexDecoder {
  private let source: () throws -> [UInt8]
  private var buffer: [UInt8] = []
  private var position = 0
  private let maximumEntries: Int
  private let dataBlocks: UInt64
  private var count = 0
  private var ended = false

  /// `source` returns the index's next bytes, of any number, and none at its end. `dataSize` is the
  /// size of the blob as its file has it: no file reaches past it.
  public init(dataSize: UInt64, maximumEntries: Int, source: @escaping () throws -> [UInt8]) throws {
    self.source = source
    self.maximumEntries = maximumEntries
    dataBlocks = dataSize / UInt64(FormatLimits.blockSize)
    guard dataSize % UInt64(FormatLimits.blockSize) == 0 else { throw damaged("data of \(dataSize) bytes") }
    guard try take(IndexFormat.magic.count).elementsEqual(IndexFormat.magic) else {
      throw damaged("no index of a version that is known")
    }
  }

  /// The next entry; nil after the last, when the end record agrees with what was read.
  public mutating func next() throws -> LayerEntry? {
    guard !ended else { return nil }
    guard let kind = IndexFormat.Kind(rawValue: try integer()) else { throw damaged("unknown kind of entry") }
    if kind == .end {
      try checkEnd()
      ended = true
      return nil
    }
    guard count < maximumEntries else { throw damaged("more than \(maximumEntries) entries") }
    count += 1
    let path = try path()
    let content: LayerEntry.Content =
      switch kind {
      case .hardLink: .hardLink(target: try self.path())
      case .whiteout: .whiteout
      case .opaque: .opaque
      default:
        // The attributes come first in the record.
        try inodeContent(kind)
      }
    if path.isRoot {
      switch content {
      case .inode(.directory, _), .opaque: break
      default: throw damaged("the root is no directory")
      }
    }
    return LayerEntry(path: path, content: content)
  }

  private mutating func checkEnd() throws {
    guard try integer() as UInt32 == count else { throw damaged("entries are missing") }
    guard try integer() as UInt64 == dataBlocks * UInt64(FormatLimits.blockSize) else {
      throw damaged("the data is of another size")
    }
    guard try fill(1) == false else { throw damaged("bytes after the end") }
  }

  private mutating func inodeContent(_ kind: IndexFormat.Kind) throws -> LayerEntry.Content {
    let attributes = try attributes()
    return .inode(try inode(kind), attributes)
  }

  private mutating func attributes() throws -> InodeAttributes {
    let mode: UInt16 = try integer()
    guard mode <= 0o7777 else { throw damaged("mode \(mode)") }
    let uid: UInt32 = try integer()
    let gid: UInt32 = try integer()
    let modified: Int64 = try integer()
    let nanoseconds: UInt32 = try integer()
    guard nanoseconds < 1_000_000_000 else { throw damaged("nanoseconds \(nanoseconds)") }
    return InodeAttributes(
      mode: mode, uid: uid, gid: gid, modified: modified, modifiedNanoseconds: nanoseconds, xattrs: try xattrs())
  }

  private mutating func xattrs() throws -> [ExtendedAttribute] {
    var remaining: UInt16 = try integer()
    var total = 0
    var xattrs: [ExtendedAttribute] = []
    while remaining > 0 {
      remaining -= 1
      let name = try counted(atMost: FormatLimits.xattrName)
      guard !name.isEmpty, !name.contains(0) else { throw damaged("name of an attribute") }
      if let last = xattrs.last, !last.name.lexicographicallyPrecedes(name) {
        throw damaged("attributes out of order")
      }
      let value = try counted(atMost: FormatLimits.xattrValue)
      total += name.count + value.count
      guard total <= FormatLimits.xattrTotal else { throw damaged("too many attributes") }
      xattrs.append(ExtendedAttribute(name: name, value: value))
    }
    return xattrs
  }

  private mutating func inode(_ kind: IndexFormat.Kind) throws -> LayerEntry.Inode {
    switch kind {
    case .file: return try file()
    case .directory: return .directory
    case .symlink:
      let target = try counted(atMost: FormatLimits.symlinkTarget)
      guard !target.isEmpty, !target.contains(0) else { throw damaged("target of a link") }
      return .symlink(target: target)
    case .characterDevice:
      let (major, minor) = try device()
      return .characterDevice(major: major, minor: minor)
    case .blockDevice:
      let (major, minor) = try device()
      return .blockDevice(major: major, minor: minor)
    case .fifo: return .fifo
    case .end, .hardLink, .whiteout, .opaque: throw damaged("no inode")
    }
  }

  private mutating func file() throws -> LayerEntry.Inode {
    let size: UInt64 = try integer()
    let block: UInt32 = try integer()
    let blockSize = UInt64(FormatLimits.blockSize)
    let blocks = size / blockSize + (size % blockSize == 0 ? 0 : 1)
    let (end, overflow) = UInt64(block).addingReportingOverflow(blocks)
    guard !overflow, end <= dataBlocks, size > 0 || block == 0 else { throw damaged("a file outside the data") }
    return .file(size: size, block: block)
  }

  private mutating func device() throws -> (UInt32, UInt32) {
    let major: UInt32 = try integer()
    let minor: UInt32 = try integer()
    guard major <= FormatLimits.deviceMajor, minor <= FormatLimits.deviceMinor else { throw damaged("device number") }
    return (major, minor)
  }

  private mutating func path() throws -> LayerPath {
    guard let path = LayerPath(canonical: try counted(atMost: FormatLimits.path)) else { throw damaged("path") }
    return path
  }

  private mutating func counted(atMost limit: Int) throws -> [UInt8] {
    let count = Int(try integer() as UInt16)
    guard count <= limit else { throw damaged("\(count) bytes where \(limit) may be") }
    return Array(try take(count))
  }

  private mutating func integer<Value: FixedWidthInteger>() throws -> Value {
    var value: Value = 0
    for byte in try take(MemoryLayout<Value>.size).reversed() {
      value = value &<< 8 | Value(truncatingIfNeeded: byte)
    }
    return value
  }

  private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
    guard try fill(count) else { throw damaged("it ends in the middle") }
    defer { position += count }
    return buffer[position..<position + count]
  }

  /// False if the index ends before `count` more bytes.
  private mutating func fill(_ count: Int) throws -> Bool {
    while buffer.count - position < count {
      let more = try source()
      if more.isEmpty { return false }
      buffer.removeSubrange(..<position)
      position = 0
      buffer.append(contentsOf: more)
    }
    return true
  }
}

private func damaged(_ what: String) -> LayerFormatError {
  LayerFormatError("damaged layer index: \(what)")
}
