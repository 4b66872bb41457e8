import Testing

@testable import AgentCore

@Suite struct KernelTextTests {
  @Test func numbersAndTheirWords() {
    #expect(KernelText("4096\n").number == 4096)
    #expect(KernelText("max\n").number == .max)
    #expect(KernelText("").number == 0)
    #expect(KernelText("99999999999999999999999\n").number == .max)
    let text = KernelText("anon 12\nfile 0\nfile_mapped 7\nkernel 9")
    #expect(text.values(["kernel", "anon", "missing", "file_mapped"].map { Array($0.utf8) }) == [9, 12, 0, 7])
  }

  @Test func pressureInHundredths() {
    let lines = KernelText("some avg10=1.53 avg60=0.87 avg300=100.00 total=4242\nfull avg10=0.00 total=7\n").lines
    #expect(KernelText.value("avg10", lines[0]) == 153)
    #expect(KernelText.value("avg300", lines[0]) == 10_000)
    #expect(KernelText.value("total", lines[0]) == 4242)
    #expect(KernelText.value("total", lines[1]) == 7)
    #expect(KernelText.value("avg60", lines[1]) == 0)
  }

  @Test func interfaces() {
    let text = """
      Inter-|   Receive                                                |  Transmit
       face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
          lo:     100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0
        eth0:    5000      40    1    2    0     0          0         0     6000      50    3    4    0     0       0          0
      """
    let stats = interfaceStats(Array(text.utf8))
    #expect(stats.map(\.name) == ["lo", "eth0"])
    #expect(stats[1].receivedBytes == 5000 && stats[1].receiveErrors == 1 && stats[1].receiveDrops == 2)
    #expect(
      stats[1].sentBytes == 6000 && stats[1].sentPackets == 50 && stats[1].sendErrors == 3 && stats[1].sendDrops == 4)
    #expect(interfaceStats(Array("a\nb\nc: 1 2\n".utf8)).isEmpty)
  }

  @Test func randomBytesHarmNothing() {
    var random = SeededGenerator(seed: 42)
    let alphabet = Array("0123456789max =:.\n\tsomefull\u{0}".utf8) + [0xff]
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? 0 }
      let text = KernelText(bytes)
      _ = (text.number, text.lineCount, text.values([[0x30], []]), text.lines.map { KernelText.value("some", $0) })
      _ = interfaceStats(bytes)
      _ = numberRanges(Substring(decoding: bytes, as: UTF8.self))
    }
  }
}

private struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

@Suite struct NumberRangeTests {
  @Test func listsOfTheKernels() {
    #expect(numberRanges("0-3,6") == [0...3, 6...6])
    #expect(numberRanges("0,1,2") == [0...2])
    #expect(numberRanges("4294967295") == [UInt32.max...UInt32.max])
  }

  @Test(arguments: ["", ",", "1-", "-1", "3-1", "a", "1,,2", "+1", "1-2-3", "4294967296", "0 "])
  func nothingElse(_ text: String) { #expect(numberRanges(text[...]) == nil) }
}
