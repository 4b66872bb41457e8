/// Block 0: the superblock, and nothing else.
struct Superblock {
  var inodes: UInt64
  var blocks: UInt32
  var rootNumber: UInt16
  var uuid: [UInt8]

  func block() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.pad(to: OnDisk.superblockOffset)
    append(to: &bytes, checksum: 0)
    bytes.pad(to: OnDisk.blockSize)
    // The checksum counts the block from the superblock on, with zero in its own place.
    let checksum = crc32c(bytes[OnDisk.superblockOffset...])
    bytes.removeSubrange(OnDisk.superblockOffset...)
    append(to: &bytes, checksum: checksum)
    bytes.pad(to: OnDisk.blockSize)
    return bytes
  }

  private func append(to bytes: inout [UInt8], checksum: UInt32) {
    bytes.appendLittleEndian(OnDisk.magic)
    bytes.appendLittleEndian(checksum)
    bytes.appendLittleEndian(OnDisk.featureChecksum | OnDisk.featureModificationTime)
    bytes.append(12)  // a block is 2^12 bytes
    bytes.append(0)  // no extension slots
    bytes.appendLittleEndian(rootNumber)
    bytes.appendLittleEndian(inodes)
    bytes.appendLittleEndian(UInt64(0))  // build time: the same image gives the same bytes
    bytes.appendLittleEndian(UInt32(0))
    bytes.appendLittleEndian(blocks)
    bytes.appendLittleEndian(UInt32(0))  // inode numbers count from block 0
    bytes.appendLittleEndian(UInt32(0))  // no shared attributes
    bytes.append(contentsOf: uuid.prefix(16))
    bytes.pad(to: OnDisk.superblockOffset + OnDisk.superblockSize)  // no name, no incompatible features
  }
}

/// CRC-32C (Castagnoli) as the kernel's crc32c computes it: from all ones, without the final inversion.
func crc32c(_ bytes: some Sequence<UInt8>) -> UInt32 {
  var crc: UInt32 = .max
  for byte in bytes {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
  }
  return crc
}
