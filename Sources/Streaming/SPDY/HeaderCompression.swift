import CZlib
import NIOCore

/// Inflates the header blocks of one connection, all of which are one zlib stream (SPDY/3 2.6.10.1).
/// Of one task at a time.
final class HeaderInflater {
  /// Far more than Kubernetes' few short headers; a block that inflates to more is an attack.
  static let maximumSize = 16 << 10

  private var stream = z_stream()
  private var failed: Bool

  init() {
    failed = inflateInit_(&stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) != Z_OK
  }

  deinit { inflateEnd(&stream) }

  /// A failure ends the stream: every later call fails too.
  func inflate(_ block: ByteBuffer) throws(SPDYViolation) -> [UInt8] {
    guard !failed else { throw .badCompression }
    failed = true
    var input = Array(block.readableBytesView)
    var output = [UInt8](repeating: 0, count: Self.maximumSize + 1)
    let produced: Int? = input.withUnsafeMutableBufferPointer { input in
      output.withUnsafeMutableBufferPointer { run($0, from: input) }
    }
    guard let produced else { throw .badCompression }
    guard produced <= Self.maximumSize else { throw .headersTooLarge }
    failed = false
    return Array(output[..<produced])
  }

  /// How much was inflated; nil where it is no zlib data, or not all of it was used although there was
  /// room for more.
  private func run(_ output: UnsafeMutableBufferPointer<UInt8>, from input: UnsafeMutableBufferPointer<UInt8>) -> Int? {
    stream.next_in = input.baseAddress
    stream.avail_in = UInt32(input.count)
    stream.next_out = output.baseAddress
    stream.avail_out = UInt32(output.count)
    defer {
      stream.next_in = nil
      stream.next_out = nil
    }
    var result = CZlib.inflate(&stream, Z_SYNC_FLUSH)
    if result == Z_NEED_DICT, stream.adler == UInt(SPDYDictionary.adler32) {
      result = inflateSetDictionary(&stream, SPDYDictionary.bytes, UInt32(SPDYDictionary.bytes.count))
      if result == Z_OK { result = CZlib.inflate(&stream, Z_SYNC_FLUSH) }
    }
    // Z_BUF_ERROR: nothing to do, as for an empty block.
    guard result == Z_OK || result == Z_BUF_ERROR else { return nil }
    guard stream.avail_in == 0 || stream.avail_out == 0 else { return nil }
    return output.count - Int(stream.avail_out)
  }
}

/// Deflates the header blocks that are sent on one connection. What is sent is short and always the same,
/// so the smallest window that holds the dictionary does: 8 KiB and not 256 KiB of memory a connection.
final class HeaderDeflater {
  private var stream = z_stream()
  private let ready: Bool

  init() {
    let windowBits: Int32 = 11
    let memoryLevel: Int32 = 1
    var result = deflateInit2_(
      &stream, Z_BEST_SPEED, Z_DEFLATED, windowBits, memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
      Int32(MemoryLayout<z_stream>.size))
    if result == Z_OK {
      result = deflateSetDictionary(&stream, SPDYDictionary.bytes, UInt32(SPDYDictionary.bytes.count))
    }
    ready = result == Z_OK
  }

  deinit { deflateEnd(&stream) }

  func deflate(_ block: [UInt8]) throws(SPDYViolation) -> [UInt8] {
    guard ready else { throw .badCompression }
    var input = block
    // Enough for any block that does not shrink, with the stream's header and the flush's marker.
    var output = [UInt8](repeating: 0, count: block.count + block.count / 8 + 128)
    let done = input.withUnsafeMutableBufferPointer { input in
      output.withUnsafeMutableBufferPointer { output in
        stream.next_in = input.baseAddress
        stream.avail_in = UInt32(input.count)
        stream.next_out = output.baseAddress
        stream.avail_out = UInt32(output.count)
        defer {
          stream.next_in = nil
          stream.next_out = nil
        }
        return CZlib.deflate(&stream, Z_SYNC_FLUSH) == Z_OK && stream.avail_in == 0 && stream.avail_out > 0
      }
    }
    guard done else { throw .badCompression }
    return Array(output[..<(output.count - Int(stream.avail_out))])
  }
}
