/// How far each stream is in the log: bytes since the container's start.
struct StreamOffsets: Equatable {
  var stdout: UInt64 = 0
  var stderr: UInt64 = 0

  subscript(stream: LogStream) -> UInt64 {
    get { stream == .stdout ? stdout : stderr }
    set { if stream == .stdout { stdout = newValue } else { stderr = newValue } }
  }
}

/// Which file, whatever it is called by now.
struct FileIdentity: Equatable {
  var device: UInt64
  var inode: UInt64
}

/// What the state file beside a log says: the write that is about to happen or has happened.
///
/// It is stored before the log is written. A daemon killed at any moment leaves the log at
/// `before.size` (nothing happened), at `after.size` (all of it happened) or in between (cut it back
/// to `before.size`); in each case the offsets to go on from are known. So there is one small write
/// more a batch, and no fsync: what the kernel has been given survives the death of the daemon, and
/// the death of the node kills the container too.
struct LogPosition: Equatable {
  struct Point: Equatable {
    var offsets: StreamOffsets
    /// Of the log file, in bytes.
    var size: UInt64
  }
  var file: FileIdentity
  var before: Point
  var after: Point

  /// Where the streams stand if the file has this size now, and to what size it must be cut first.
  func resume(size: UInt64) -> (offsets: StreamOffsets, cutTo: UInt64?) {
    if size == before.size { return (before.offsets, nil) }
    if size > before.size, size < after.size { return (before.offsets, before.size) }
    // Smaller than before: somebody emptied it, after it was written.
    return (after.offsets, nil)
  }
}

// MARK: - On disk

extension LogPosition {
  /// A mark, eight numbers and a checksum, 64 bits each, little-endian.
  static let encodedSize = 80
  private static let mark: UInt64 = 0x3154_5347_4f4c_4842  // "BHLOGST1"

  func encoded() -> [UInt8] {
    let words = [
      Self.mark, before.offsets.stdout, before.offsets.stderr, before.size, after.offsets.stdout,
      after.offsets.stderr, after.size, file.device, file.inode,
    ]
    let bytes = words.flatMap(littleEndianBytes)
    return bytes + littleEndianBytes(checksum(bytes[...]))
  }

  /// Nil for anything but what `encoded` made.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.encodedSize else { return nil }
    let words = stride(from: 0, to: bytes.count, by: 8).map { start in
      bytes[start..<(start + 8)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }
    guard words[0] == Self.mark, words[9] == checksum(bytes[..<72]) else { return nil }
    before = Point(offsets: StreamOffsets(stdout: words[1], stderr: words[2]), size: words[3])
    after = Point(offsets: StreamOffsets(stdout: words[4], stderr: words[5]), size: words[6])
    file = FileIdentity(device: words[7], inode: words[8])
  }
}

private func littleEndianBytes(_ word: UInt64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
}

/// FNV-1a, 64 bits: against torn and foreign files, not against forgers.
private func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
  bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
