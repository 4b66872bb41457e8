/// A directory's contents: blocks of entries followed by their names, the names in ascending order of
/// their bytes through all blocks, which is what the kernel's binary search goes by.
struct DirectoryData {
  struct Entry {
    var name: [UInt8]
    /// The node; what its inode number is comes with `bytes`.
    var node: Int
    var type: FileType
  }

  private let entries: [Entry]
  /// Indices of the entries that begin a block, and after the last their number.
  private let blockStarts: [Int]
  /// In bytes: whole blocks but for the last, which ends with its last name.
  let size: Int

  init(_ unsorted: [Entry]) {
    entries = unsorted.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    var starts = [0]
    var used = 0
    for (index, entry) in entries.enumerated() {
      let needed = OnDisk.directoryEntrySize + entry.name.count
      if used + needed > OnDisk.blockSize {
        starts.append(index)
        used = 0
      }
      used += needed
    }
    size = (starts.count - 1) * OnDisk.blockSize + used
    blockStarts = starts + [entries.count]
  }

  /// `number` gives a node's inode number.
  func bytes(number: (Int) -> UInt64) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(size)
    for block in 0..<blockStarts.count - 1 {
      out.pad(to: block * OnDisk.blockSize)
      let slice = entries[blockStarts[block]..<blockStarts[block + 1]]
      var nameOffset = slice.count * OnDisk.directoryEntrySize
      for entry in slice {
        out.appendLittleEndian(number(entry.node))
        out.appendLittleEndian(UInt16(truncatingIfNeeded: nameOffset))
        out.append(entry.type.rawValue)
        out.append(0)
        nameOffset += entry.name.count
      }
      for entry in slice { out.append(contentsOf: entry.name) }
    }
    return out
  }
}
