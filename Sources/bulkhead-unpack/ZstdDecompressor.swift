import CZstd
import LayerFormat

/// Zstandard by libzstd, of one frame or several (RFC 8878, 3). Windows are limited to libzstd's
/// default of 128 MiB.
final class ZstdDecompressor: Decompressor {
  private let input: DescriptorInput
  private let context: OpaquePointer
  /// What libzstd said last: 0 between frames.
  private var expected = 1

  init(input: DescriptorInput) throws {
    guard let context = ZSTD_createDCtx() else { throw LayerFormatError("no memory to decompress with") }
    self.input = input
    self.context = context
  }

  deinit { ZSTD_freeDCtx(context) }

  func read(into output: UnsafeMutableRawBufferPointer) throws -> Int {
    var out = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
    while out.pos < out.size {
      let more = try input.refill()
      if !more, expected == 0 { break }
      let before = out.pos
      var bytes = ZSTD_inBuffer(src: input.available.baseAddress, size: input.available.count, pos: 0)
      let result = ZSTD_decompressStream(context, &out, &bytes)
      guard ZSTD_isError(result) == 0 else {
        throw LayerFormatError("the layer is no valid zstd: \(String(cString: ZSTD_getErrorName(result)))")
      }
      expected = result
      input.consume(bytes.pos)
      if !more, out.pos == before, expected != 0 {
        throw LayerFormatError("the layer is truncated: its zstd stream ends in the middle")
      }
    }
    return out.pos
  }
}
