import Common
import Hashing
import LayerFormat

/// The uncompressed layer, a buffer at a time; counts its bytes and hashes them on the way.
final class LayerStream {
  private let decompressor: any Decompressor
  private let maximumSize: UInt64
  private let buffer: UnsafeMutableRawBufferPointer
  private let hash: MessageDigest
  private var size: UInt64 = 0
  private var isPadded = false

  init(decompressor: any Decompressor, maximumSize: UInt64) throws {
    self.decompressor = decompressor
    self.maximumSize = maximumSize
    hash = try MessageDigest(.sha256)
    // Larger than a second-level cache is slower: the bytes are read twice more.
    buffer = .allocate(byteCount: 256 << 10, alignment: 4096)
  }

  deinit { buffer.deallocate() }

  /// The next bytes, valid until the next call; empty at the end. What a tar lacks of its last block is made up.
  func next() throws -> UnsafeRawBufferPointer {
    let count = try decompressor.read(into: buffer)
    let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
    size += UInt64(count)
    guard size <= maximumSize else {
      throw LayerFormatError(
        "the layer is larger than the limit of \(ByteCount(bytes: maximumSize)) uncompressed")
    }
    try hash.update(bytes)
    return bytes.isEmpty ? padding() : bytes
  }

  /// Zeros up to a whole tar block, once: tools that don't finish their tar (umoci insert) leave the
  /// last file's block short, and containerd takes that. Not hashed: a layer that really was cut off
  /// does not have the diff id that its image names.
  private func padding() -> UnsafeRawBufferPointer {
    let missing = isPadded ? 0 : (Self.block - Int(size % UInt64(Self.block))) % Self.block
    isPadded = true
    let zeros = UnsafeMutableRawBufferPointer(rebasing: buffer[..<missing])
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    return UnsafeRawBufferPointer(zeros)
  }

  private static let block = 512

  /// Reads what the tar's reader left, its padding as a rule, and returns the whole stream's SHA-256.
  func finish() throws -> String {
    while try !next().isEmpty {}
    return hexString(try hash.finish())
  }
}
