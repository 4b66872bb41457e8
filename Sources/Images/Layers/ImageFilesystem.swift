import CLinux
import Common
import EROFS
import Glibc
import LayerFormat
import LinuxSystem

/// The filesystem of an image, made of its converted layers.
public enum ImageFilesystem {
  /// Writes the metadata of an EROFS image, the union of `layers` (base first), to a new file at
  /// `path` (0600; an existing one is replaced), synced to disk. The same layers and `imageID` give
  /// the same bytes.
  ///
  /// Returns the files that make up the disk, in order: the metadata first, then each layer's data
  /// that is not empty. Runs on a thread of its own. Throws `invalidArgument` for layers that don't
  /// fit together (a hard link to a file that isn't there) or are more than the limits together allow,
  /// `dataLoss` for a damaged index, and `CancellationError` soon after the task is cancelled.
  public static func write(
    layers: [LayerFiles], imageID: Digest, to path: String, limits: LayerLimits = LayerLimits()
  ) async throws -> [ImageExtent] {
    try await onCancellableThread { cancellation in
      // The tree of a large image is tens of megabytes, which the daemon would keep.
      defer { bh_trim_heap() }
      return try writeBlocking(layers, imageID, path, limits, cancellation)
    }
  }

  private static func writeBlocking(
    _ layers: [LayerFiles], _ imageID: Digest, _ path: String, _ limits: LayerLimits, _ cancellation: CancellationFlag
  ) throws -> [ImageExtent] {
    try checkIndexSize(layers, limits)
    var tree = LayerTree()
    var entries = 0
    var dataStarts: [UInt64] = []
    var dataBlocks: UInt64 = 0
    var dataExtents: [ImageExtent] = []
    for layer in layers {
      let size = try fileSize(layer.data)
      dataStarts.append(dataBlocks)
      dataBlocks += size / UInt64(FormatLimits.blockSize)
      if size > 0 { dataExtents.append(ImageExtent(path: layer.data, size: ByteCount(bytes: size))) }
      tree.beginLayer()
      try forEachEntry(of: layer, dataSize: size, limits) { entry in
        try cancellation.check()
        entries += 1
        guard entries <= limits.maximumImageEntries else {
          throw BulkheadError(
            .invalidArgument,
            "the image's layers have more entries together than the limit of \(limits.maximumImageEntries)")
        }
        try refusing(.invalidArgument) { try tree.apply(entry) }
      }
    }
    let filesystem = try tree.filesystem(dataStarts: dataStarts, dataBlocks: dataBlocks, cancellation)
    let writer = try refusing(.invalidArgument) { try MetadataWriter(filesystem, uuid: uuid(of: imageID)) }
    try write(writer, to: path, cancellation)
    return [ImageExtent(path: path, size: ByteCount(bytes: writer.size))] + dataExtents
  }

  /// All of it but files' contents is held in memory.
  private static func checkIndexSize(_ layers: [LayerFiles], _ limits: LayerLimits) throws {
    var total = ByteCount(bytes: 0)
    for layer in layers {
      total = ByteCount(bytes: total.bytes &+ (try fileSize(layer.index)))
      guard total <= limits.maximumIndexSize else {
        throw BulkheadError(
          .invalidArgument,
          "the names, links and attributes of the image's layers are larger than the limit of \(limits.maximumIndexSize)"
        )
      }
    }
  }

  private static func forEachEntry(
    of layer: LayerFiles, dataSize: UInt64, _ limits: LayerLimits, _ body: (LayerEntry) throws -> Void
  ) throws {
    let file = try systemCall("open", subject: layer.index) { open(layer.index, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) }
    defer { close(file) }
    var index = try refusing(.dataLoss) {
      try IndexDecoder(dataSize: dataSize, maximumEntries: limits.maximumEntries) { try readSome(file) }
    }
    while let entry = try refusing(.dataLoss, { try index.next() }) { try body(entry) }
  }

  private static func readSome(_ file: Int32) throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 256 << 10)
    let count = try systemCall("read", subject: "layer index") { read(file, &buffer, buffer.count) }
    return Array(buffer.prefix(count))
  }

  private static func fileSize(_ path: String) throws -> UInt64 {
    var status = stat()
    try systemCall("stat", subject: path) { lstat(path, &status) }
    return UInt64(clamping: status.st_size)
  }

  /// The file appears at its path whole or not at all.
  private static func write(_ writer: MetadataWriter, to path: String, _ cancellation: CancellationFlag) throws {
    let temporary = path + ".new"
    let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
    let file = try systemCall("open", subject: temporary) { open(temporary, flags, 0o600) }
    do {
      defer { close(file) }
      try writer.write { bytes in
        try cancellation.check()
        try writeAll(bytes, to: file, subject: temporary)
      }
      try systemCall("fsync", subject: temporary) { fsync(file) }
    } catch {
      unlink(temporary)
      throw error
    }
    try systemCall("rename", subject: path) { rename(temporary, path) }
  }

  /// Version 8, "custom" (RFC 9562, 5.8): the digest's first bits.
  private static func uuid(of imageID: Digest) -> [UInt8] {
    let digits = Array(imageID.hex.utf8.prefix(32))
    var uuid = stride(from: 0, to: digits.count - 1, by: 2).map { index in
      UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) ?? 0
    }
    uuid[6] = uuid[6] & 0x0f | 0x80
    uuid[8] = uuid[8] & 0x3f | 0x80
    return uuid
  }
}

/// Runs `body`; what it finds wrong with a layer becomes an error with `code`.
func refusing<Result>(_ code: BulkheadError.Code, _ body: () throws -> Result) throws -> Result {
  do {
    return try body()
  } catch let error as LayerFormatError {
    throw BulkheadError(code, error.description)
  }
}
