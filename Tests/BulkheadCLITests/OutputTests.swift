import Testing

@testable import BulkheadCLI

@Test(arguments: [("", 0), ("abc", 3), ("数据库", 6), ("e\u{301}", 1), ("한글", 4), ("🚀", 2), ("❤\u{fe0f}", 2), ("é—█", 3)])
func `widths on a terminal`(text: String, width: Int) {
  #expect(displayWidth(text) == width)
}

@Test func `ages`() {
  let second: Int64 = 1_000_000_000
  let ages: [(Int64, String)] = [
    (0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (3660, "1h1m"), (90_000, "1d1h"),
  ]
  for (seconds, text) in ages { #expect(age(second, now: second * (seconds + 1)) == text) }
  #expect(age(0, now: second) == "-")
  #expect(age(second * 5, now: second) == "0s")
}

@Test func `lines of a console come out whole, whatever was cut`() {
  let text = Array("a\u{1b}[31mb\u{1b}[0m\r\nc\u{1b}]0;title\nΩ\n".utf8)
  for step in 1...text.count {
    var lines = SafeLines()
    var out: [UInt8] = []
    for start in stride(from: 0, to: text.count, by: step) {
      out += lines.feed(text[start..<min(start + step, text.count)])
    }
    out += lines.end()
    #expect(String(decoding: out, as: UTF8.self) == "ab\nc\\u{1b}]0;title\nΩ\n")
  }
  var lines = SafeLines()
  #expect(lines.feed([UInt8](repeating: 65, count: 100_000)).count > 90_000)
}

@Test func `progress as a bar and as lines`() {
  var text = ProgressText()
  let second: Int64 = 1_000_000_000
  func step(_ done: UInt64) -> PullStep {
    PullStep(phase: "downloading", done: done << 20, total: 40 << 20, layersDone: 1, layersTotal: 3)
  }
  #expect(text.line(step(10), at: 0, interval: .bar)?.contains("25 %  10.0 MiB of 40.0 MiB  layer 2 of 3") == true)
  #expect(text.line(step(11), at: second / 100, interval: .bar) == nil)
  // 10 MiB were there before.
  #expect(text.line(step(30), at: 2 * second, interval: .bar)?.contains("30.0 MiB of 40.0 MiB  10.0 MiB/s") == true)
  #expect(text.line(step(99), at: 3 * second, interval: .bar)?.contains("100 %") == true)

  var plain = ProgressText()
  #expect(plain.line(step(0), at: 0, interval: .plain) == "downloading  0 B of 40.0 MiB  layer 2 of 3")
  #expect(plain.line(step(20), at: 4 * second, interval: .plain) == nil)
  #expect(
    plain.line(step(20), at: 5 * second, interval: .plain)
      == "downloading  20.0 MiB of 40.0 MiB  4.0 MiB/s  layer 2 of 3")
  let unknown = PullStep(phase: "x\u{1b}", done: 5, total: 0, layersDone: 0, layersTotal: 0)
  var other = ProgressText()
  #expect(other.line(unknown, at: 6 * second, interval: .plain) == "x\\u{1b}  5 B")
}
