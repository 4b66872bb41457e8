import Testing

@testable import AgentCore

struct RingBufferTests {
  @Test func offsetsCountFromTheStreamsStart() {
    var buffer = RingBuffer(capacity: 8)
    buffer.append([1, 2, 3, 4, 5])
    #expect(buffer.bytes(from: 0, limit: 3) == [1, 2, 3])
    buffer.forget(below: 3)
    #expect(buffer.bytes(from: 0, limit: 8).isEmpty)
    #expect(buffer.bytes(from: 3, limit: 8) == [4, 5])
    buffer.append([6, 7, 8, 9, 10, 11, 12])
    #expect(buffer.free == 0)
    #expect(buffer.end == 11)
    #expect(buffer.bytes(from: 5, limit: 100) == [6, 7, 8, 9, 10, 11])
    buffer.forget(below: 1000)
    #expect(buffer.start == 11)
    #expect(buffer.bytes(from: 11, limit: 1).isEmpty)
  }

  @Test func anyOrderOfWritesAndForgettingKeepsTheStream() {
    var buffer = RingBuffer(capacity: 10_000)
    var written: [UInt8] = []
    var state: UInt64 = 88_172_645_463_325_252
    func random(_ bound: UInt64) -> Int {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int(state % bound)
    }
    for _ in 0..<3000 {
      let bytes = (0..<random(3000)).map { _ in UInt8(truncatingIfNeeded: random(256)) }
      written += bytes.prefix(buffer.free)
      buffer.append(bytes)
      #expect(buffer.end == UInt64(written.count))
      let kept = Array(written[Int(buffer.start)...])
      #expect(buffer.bytes(from: buffer.start, limit: .max) == kept)
      buffer.forget(below: buffer.start + UInt64(random(4000)))
    }
  }
}
