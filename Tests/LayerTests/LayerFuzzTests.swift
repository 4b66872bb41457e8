import Common
import Images
import TestSupport
import Testing

/// Layers with random damage through the real process: each is converted and becomes an image, or is
/// refused; the process never dies of a signal.
@Suite struct LayerFuzzTests {
  @Test func damagedTarsAreConvertedOrRefused() async throws {
    var random = SeededRandom(seed: 3)
    for round in 0..<120 {
      var layer = FidelityTests.threeLayers[round % 3]
      for _ in 0..<Int.random(in: 1...12, using: &random) {
        // Mostly in headers, where it matters.
        let block = Int.random(in: 0..<layer.count / 512, using: &random) * 512
        let position = block + Int.random(in: 0..<300, using: &random)
        layer[position] = UInt8.random(in: 0...255, using: &random)
        if Bool.random(using: &random) { fixChecksum(&layer, at: block) }
      }
      let scratch = try Scratch()
      do {
        _ = try await makeImage([layer], in: scratch)
      } catch let error as BulkheadError {
        #expect(error.code == .invalidArgument, "round \(round): \(error)")
      }
    }
  }

  private func fixChecksum(_ layer: inout [UInt8], at block: Int) {
    for index in 148..<156 { layer[block + index] = 32 }
    let sum = layer[block..<block + 512].reduce(0) { $0 + Int($1) }
    let digits = Array(String(sum, radix: 8).utf8)
    let text = Array(repeating: UInt8(ascii: "0"), count: max(0, 6 - digits.count)) + digits
    for (index, byte) in text.prefix(6).enumerated() { layer[block + 148 + index] = byte }
    layer[block + 154] = 0
  }
}
