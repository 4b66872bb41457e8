/// How the daemon starts bulkhead-unpack: as command-line arguments, made and read here alone, so
/// that both sides agree. Both are of one build, so there is no version.
///
/// The process's file descriptors: 0 the compressed layer, 1 the result (`UnpackResult`), 2 what went
/// wrong, 3 the data blob, 4 the index; both are empty files.
public struct UnpackOptions: Equatable, Sendable {
  public enum Compression: String, Sendable { case none, gzip, zstd }

  public var compression: Compression
  public var uid: UInt32
  public var gid: UInt32
  /// Bytes of the uncompressed stream, and of the data blob, holes included.
  public var maximumSize: UInt64
  public var maximumEntries: UInt32

  /// What `maximumSize` may be at most: 2^32 blocks, all that EROFS can address.
  public static let largestSize = UInt64(FormatLimits.blockSize) << 32
  public static let dataDescriptor: Int32 = 3
  public static let indexDescriptor: Int32 = 4

  public init(compression: Compression, uid: UInt32, gid: UInt32, maximumSize: UInt64, maximumEntries: UInt32) {
    self.compression = compression
    self.uid = uid
    self.gid = gid
    self.maximumSize = maximumSize
    self.maximumEntries = maximumEntries
  }

  public var arguments: [String] {
    [compression.rawValue, "\(uid)", "\(gid)", "\(maximumSize)", "\(maximumEntries)"]
  }

  /// Nil unless `arguments` are what `arguments` made.
  public init?(arguments: some Collection<String>) {
    let words = Array(arguments)
    guard words.count == 5, let compression = Compression(rawValue: words[0]), let uid = UInt32(words[1]),
      let gid = UInt32(words[2]), let maximumSize = UInt64(words[3]), maximumSize <= Self.largestSize,
      let maximumEntries = UInt32(words[4])
    else { return nil }
    self.init(
      compression: compression, uid: uid, gid: gid, maximumSize: maximumSize, maximumEntries: maximumEntries)
  }
}

/// What bulkhead-unpack prints when it converted a layer: one line of three words.
public struct UnpackResult: Equatable, Sendable {
  /// 64 lower-case hex digits: SHA-256 of the uncompressed stream.
  public var diffID: String
  public var entries: UInt32
  /// Of the data blob.
  public var dataSize: UInt64

  public init(diffID: String, entries: UInt32, dataSize: UInt64) {
    self.diffID = diffID
    self.entries = entries
    self.dataSize = dataSize
  }

  public var line: String { "\(diffID) \(entries) \(dataSize)\n" }

  /// Nil unless `line` is such a line. The digits of the diff id are the caller's to check.
  public init?(line: String) {
    let words = line.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 3, let end = words[2].firstIndex(of: "\n"), words[2][end...] == "\n",
      let entries = UInt32(words[1]), let dataSize = UInt64(words[2][..<end])
    else { return nil }
    self.init(diffID: String(words[0]), entries: entries, dataSize: dataSize)
  }
}

/// The exit codes of bulkhead-unpack; all but `converted` come with a message on descriptor 2.
public enum UnpackExit: Int32, Sendable {
  case converted = 0
  /// Something is wrong with the layer.
  case refused
  /// Something is wrong with the machine.
  case failed
  case noSpace
}
