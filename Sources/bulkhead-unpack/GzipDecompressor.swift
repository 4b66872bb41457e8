import CISAL
import Glibc
import LayerFormat

/// Gzip by ISA-L, of one member or several (RFC 1952, 2.2). Checksums are verified, and anything that
/// follows the last member is an error.
final class GzipDecompressor: Decompressor {
  private let input: DescriptorInput
  private let state: bh_inflate_ref
  private var insideMember = false
  private var members = 0

  init(input: DescriptorInput) throws {
    guard let state = bh_inflate_new() else { throw LayerFormatError("no memory to decompress with") }
    self.input = input
    self.state = state
  }

  deinit { bh_inflate_free(state) }

  func read(into output: UnsafeMutableRawBufferPointer) throws -> Int {
    var filled = 0
    while filled < output.count {
      let more = try input.refill()
      if !insideMember {
        guard more || members == 0 else { break }
        bh_inflate_begin_member(state)
        insideMember = true
      }
      let (consumed, produced) = try inflate(into: UnsafeMutableRawBufferPointer(rebasing: output[filled...]))
      filled += produced
      if bh_inflate_member_ended(state) != 0 {
        insideMember = false
        members += 1
      } else if !more, produced == 0, consumed == 0 {
        throw LayerFormatError("the layer is truncated: its gzip stream ends in the middle")
      }
    }
    return filled
  }

  private func inflate(into output: UnsafeMutableRawBufferPointer) throws -> (consumed: Int, produced: Int) {
    let available = input.available
    var inputLeft = UInt32(available.count)
    var outputLeft = UInt32(output.count)
    let result = bh_inflate(
      state, available.bindMemory(to: UInt8.self).baseAddress, &inputLeft,
      output.bindMemory(to: UInt8.self).baseAddress, &outputLeft)
    guard result >= 0 else { throw LayerFormatError(message(result)) }
    guard result != ISAL_NEED_DICT else { throw LayerFormatError("the layer's gzip stream wants a dictionary") }
    let consumed = available.count - Int(inputLeft)
    input.consume(consumed)
    return (consumed, output.count - Int(outputLeft))
  }

  private func message(_ result: Int32) -> String {
    switch result {
    case ISAL_INVALID_WRAPPER, ISAL_UNSUPPORTED_METHOD:
      members == 0 ? "the layer is not gzip" : "the layer has bytes after its gzip stream"
    case ISAL_INCORRECT_CHECKSUM: "the layer is damaged: its gzip checksum is wrong"
    default: "the layer is damaged: its gzip stream is invalid (\(result))"
    }
  }
}
