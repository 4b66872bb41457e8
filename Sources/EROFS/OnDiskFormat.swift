// Numbers of the on-disk format (Linux, Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h).
// Everything is little-endian.

enum OnDisk {
  static let blockSize = 4096
  static let superblockOffset = 1024
  static let superblockSize = 128
  static let magic: UInt32 = 0xE0F5_E1E2
  /// The superblock's checksum is valid.
  static let featureChecksum: UInt32 = 1
  /// Inodes' times are of modification.
  static let featureModificationTime: UInt32 = 2
  /// An inode's number is its offset in units of these.
  static let inodeSlot = 32
  static let extendedInodeSize = 64
  static let xattrHeaderSize = 12
  static let directoryEntrySize = 12
}

/// How an inode's contents are stored, as `i_format` counts it.
enum DataLayout: UInt16 {
  /// Whole blocks.
  case plain = 0
  /// Whole blocks, and the rest right behind the inode.
  case inline = 2
}

/// A directory entry's kind of inode.
enum FileType: UInt8 {
  case regular = 1
  case directory, characterDevice, blockDevice, fifo, socket, symlink
}

extension FilesystemTree.Content {
  var fileType: FileType {
    switch self {
    case .file: .regular
    case .directory: .directory
    case .symlink: .symlink
    case .characterDevice: .characterDevice
    case .blockDevice: .blockDevice
    case .fifo: .fifo
    }
  }

  /// The type's bits of st_mode (inode(7)).
  var modeType: UInt16 {
    switch self {
    case .file: 0o100000
    case .directory: 0o040000
    case .symlink: 0o120000
    case .characterDevice: 0o020000
    case .blockDevice: 0o060000
    case .fifo: 0o010000
    }
  }
}

extension [UInt8] {
  mutating func appendLittleEndian(_ value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }

  /// Zeros up to a length of `count`.
  mutating func pad(to count: Int) {
    append(contentsOf: repeatElement(0, count: Swift.max(0, count - self.count)))
  }
}

func roundUp(_ value: Int, to unit: Int) -> Int { (value + unit - 1) / unit * unit }
