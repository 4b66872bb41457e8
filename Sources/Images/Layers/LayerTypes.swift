import Common

/// How a layer's tar is compressed, from its media type.
public enum LayerCompression: Sendable { case none, gzip, zstd }

/// What a layer, and the image of several, may cost at most. Lengths of paths, names, link targets and extended
/// attributes are bounded by what Linux takes (`FormatLimits`), not configured.
public struct LayerLimits: Sendable {
  /// Of the uncompressed tar, and of what its files take in the data blob, holes of sparse files
  /// included: each by itself.
  public var maximumSize: ByteCount
  public var maximumEntries: Int
  /// How long the process may take for one `write`, or to end after the last, before it is killed.
  public var stallTimeout: Duration

  public init(
    maximumSize: ByteCount = .gibibytes(32), maximumEntries: Int = 1_000_000,
    stallTimeout: Duration = .seconds(120)
  ) {
    self.maximumSize = maximumSize
    self.maximumEntries = maximumEntries
    self.stallTimeout = stallTimeout
  }
}

extension LayerLimits {
  /// Of all of an image's layers, those that a later layer replaces or hides included.
  public var maximumImageEntries: Int { scaled(maximumEntries, by: 4) }

  /// Of the indexes of all of an image's layers: what makes an image is in the daemon's memory meanwhile. An entry
  /// takes some 100 bytes as a rule, but may have attributes of 64 KiB.
  public var maximumIndexSize: ByteCount { ByteCount(bytes: UInt64(scaled(maximumImageEntries, by: 256))) }

  private func scaled(_ count: Int, by factor: Int) -> Int {
    let (product, overflow) = max(count, 0).multipliedReportingOverflow(by: factor)
    return overflow ? .max : product
  }
}

/// What the conversion of a layer came to.
///
/// It is the unprivileged process that says so, and a layer that took it over can make it say
/// anything: compare `diffID` with the image's configuration, but share a converted layer between
/// images only by the digest of the *compressed* bytes, which the daemon itself verified.
public struct ConvertedLayer: Sendable {
  /// SHA-256 of the uncompressed tar (OCI image specification, config.md, "Layer DiffID").
  public var diffID: Digest
  /// Of the data blob, a multiple of 4096.
  public var dataSize: ByteCount
  public var entries: Int

  public init(diffID: Digest, dataSize: ByteCount, entries: Int) {
    self.diffID = diffID
    self.dataSize = dataSize
    self.entries = entries
  }
}

/// Where a converted layer lies: the two files that `LayerUnpacker` made.
public struct LayerFiles: Sendable, Equatable {
  public var data: String
  public var index: String

  /// The files named `data` and `index` in `directory`.
  public init(directory: String) {
    data = directory + "/data"
    index = directory + "/index"
  }
}

/// One file of the image's disk; the disk is its extents one after the other.
public struct ImageExtent: Sendable, Equatable {
  public var path: String
  /// A multiple of 4096, and exactly the file's size.
  public var size: ByteCount

  public init(path: String, size: ByteCount) {
    self.path = path
    self.size = size
  }
}
