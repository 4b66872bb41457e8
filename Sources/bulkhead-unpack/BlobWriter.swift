import Common
import Glibc
import LayerFormat
import LinuxSystem

/// Writes files' contents to the data blob, each from a block's start. Holes of sparse files are
/// holes of the blob: they cost address space, which is limited, and nothing on disk.
struct BlobWriter {
  private let descriptor: Int32
  private let maximumSize: UInt64
  /// Where the next file begins: a multiple of the block size.
  private(set) var end: UInt64 = 0
  /// Bytes not yet written, and where in the blob they go.
  private var pending: [UInt8] = []
  private var pendingOffset: UInt64 = 0

  private static let pendingLimit = 512 << 10
  /// Smaller ones are written as zeros: a hole saves nothing then.
  private static let smallestHole: UInt64 = 64 << 10

  init(descriptor: Int32, maximumSize: UInt64) {
    self.descriptor = descriptor
    self.maximumSize = maximumSize
    pending.reserveCapacity(Self.pendingLimit * 2)
  }

  /// Reserves room for a file of `size` bytes, and returns the offset of its first.
  mutating func reserve(_ size: UInt64, for path: LayerPath) throws -> UInt64 {
    let room = maximumSize - min(end, maximumSize)
    guard size <= room else {
      throw LayerFormatError(
        "\(path) is of \(ByteCount(bytes: size)), with which the layer's files are larger than the limit of \(ByteCount(bytes: maximumSize))"
      )
    }
    let blockSize = UInt64(FormatLimits.blockSize)
    defer { end += (size + blockSize - 1) / blockSize * blockSize }
    return end
  }

  /// Writes within the room reserved last. Offsets only grow.
  mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws {
    let gap = offset - (pendingOffset + UInt64(pending.count))
    if gap >= Self.smallestHole {
      try flush()
      pendingOffset = offset
    } else if gap > 0 {
      pending.append(contentsOf: repeatElement(0, count: Int(gap)))
    }
    if pending.isEmpty, bytes.count >= Self.pendingLimit / 4 {
      try writeOut(bytes)
    } else {
      pending.append(contentsOf: bytes)
      if pending.count >= Self.pendingLimit { try flush() }
    }
  }

  /// Writes what is pending and gives the blob its size, a multiple of the block size.
  mutating func finish() throws {
    try flush()
    try systemCall("ftruncate") { ftruncate(descriptor, off_t(end)) }
  }

  private mutating func flush() throws {
    let bytes = pending
    try bytes.withUnsafeBytes { try writeOut($0) }
    pending.removeAll(keepingCapacity: true)
  }

  private mutating func writeOut(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = try systemCall("pwrite", subject: "layer data") {
        pwrite(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count, off_t(pendingOffset))
      }
      pendingOffset += UInt64(count)
      rest = rest.dropFirst(count)
    }
  }
}
