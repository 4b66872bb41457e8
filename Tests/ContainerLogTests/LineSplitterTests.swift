import Foundation
import Testing

@testable import ContainerLog

private let stamp = LogTimestamp.bytes(0)
private let prefix = "1970-01-01T00:00:00.000000000Z stdout"

/// The log of `text`, given to the splitter in pieces of `step` bytes.
private func split(_ text: String, maximum: Int, step: Int) -> [String] {
  var splitter = LineSplitter(stream: .stdout, maximum: maximum)
  var out: [UInt8] = []
  var rest = Array(text.utf8)[...]
  while !rest.isEmpty {
    splitter.feed(rest.prefix(step), timestamp: stamp, into: &out)
    rest = rest.dropFirst(step)
  }
  splitter.end(timestamp: stamp, into: &out)
  return String(decoding: out, as: UTF8.self).split(separator: "\n").map(String.init)
}

@Test(arguments: [
  ("", []),
  ("a\n", ["F a"]),
  ("a\nb\n", ["F a", "F b"]),
  ("\n\n", ["F ", "F "]),
  ("a", ["P a"]),
  ("a\nb", ["F a", "P b"]),
  ("1234\n", ["F 1234"]),
  ("12345\n", ["P 1234", "F 5"]),
  ("12345678\n", ["P 1234", "F 5678"]),
  ("123456789", ["P 1234", "P 5678", "P 9"]),
  ("a\rb\n", ["F a\rb"]),
])
func `lines are split the same however the bytes come`(text: String, lines: [String]) {
  for step in 1...10 {
    #expect(split(text, maximum: 4, step: step) == lines.map { "\(prefix) \($0)" }, "in steps of \(step)")
  }
}

@Test func `times are RFC 3339`() throws {
  let samples: [(Int64, String)] = [
    (0, "1970-01-01T00:00:00.000000000Z"),
    (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
    (1_769_903_999_123_456_789, "2026-01-31T23:59:59.123456789Z"),
    (-1, "1969-12-31T23:59:59.999999999Z"),
    (4_102_444_800_000_000_000, "2100-01-01T00:00:00.000000000Z"),
  ]
  for (time, text) in samples {
    #expect(String(decoding: LogTimestamp.bytes(time), as: UTF8.self) == text)
    #expect(LogTimestamp.parse(text.utf8) == time)
  }
  #expect(LogTimestamp.parse("2026-01-31T23:59:59.5+01:00".utf8) == 1_769_900_399_500_000_000)
  #expect(LogTimestamp.parse("2026-01-31T23:59:59-00:30".utf8) == 1_769_905_799_000_000_000)
  for bad in [
    "", "2026-01-31", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00", "9999-01-01T00:00:00Z",
    "2026-01-01T00:00:00Zx",
  ] {
    #expect(LogTimestamp.parse(bad.utf8) == nil, "\(bad)")
  }
}

@Test func `times agree with Foundation's calendar`() throws {
  let formatter = ISO8601DateFormatter()
  formatter.formatOptions = [.withInternetDateTime]
  for seconds in stride(from: -3_000_000_000, to: 6_000_000_000, by: 86_400 * 97 + 12_345) {
    let expected = formatter.string(from: Date(timeIntervalSince1970: Double(seconds))).dropLast()
    let bytes = LogTimestamp.bytes(Int64(seconds) * 1_000_000_000)
    #expect(String(decoding: bytes, as: UTF8.self) == "\(expected).000000000Z")
    #expect(LogTimestamp.parse(bytes) == Int64(seconds) * 1_000_000_000)
  }
}

@Test func `entries are parsed, and what is none is not`() {
  let line = "\(prefix) F hello  world "
  #expect(
    LogEntry(line: Array(line.utf8))
      == LogEntry(timestamp: 0, stream: .stdout, partial: false, text: Array("hello  world ".utf8)))
  #expect(LogEntry(line: Array("\(prefix) P:x ".utf8))?.partial == true)
  for bad in ["", "x", "\(prefix) F", "\(prefix) X a", "now stdout F a", "1970-01-01T00:00:00Z stdin F a"] {
    #expect(LogEntry(line: Array(bad.utf8)) == nil, "\(bad)")
  }
}
