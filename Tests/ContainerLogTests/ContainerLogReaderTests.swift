import Common
import Foundation
import Testing

@testable import ContainerLog

private func output(_ entries: [LogEntry]) -> String { String(decoding: entries.flatMap(\.output), as: UTF8.self) }

@Test func `a reader follows a log over its rotation`() throws {
  let scratch = try Scratch()
  let writer = try ContainerLogWriter(path: scratch.log, statePath: scratch.state, maximumLine: 4)
  var reader = try ContainerLogReader(path: scratch.log)
  #expect(try reader.read().isEmpty)
  try writer.append(stream: .stdout, offset: 0, bytes: Array("123456\nb".utf8))
  #expect(output(try reader.read()) == "123456\n")
  #expect(try reader.read().isEmpty)
  try scratch.rename(scratch.log, scratch.log + ".1")
  try writer.append(stream: .stdout, offset: 8, bytes: Array("c\n".utf8))
  try writer.reopen()
  try writer.append(stream: .stdout, offset: 10, bytes: Array("d\n".utf8))
  #expect(output(try reader.read()) == "bc\n")
  #expect(output(try reader.read()) == "d\n")
  try writer.append(stream: .stdout, offset: 12, bytes: Array("e".utf8))
  try writer.end(stream: .stdout)
  #expect(output(try reader.read()) == "e")
}

@Test func `the last lines, in a file of many blocks`() throws {
  let scratch = try Scratch()
  let writer = try ContainerLogWriter(path: scratch.log, statePath: scratch.state)
  var bytes: [UInt8] = []
  for number in 0..<5000 { bytes += Array("line \(number)\n".utf8) }
  try writer.append(stream: .stdout, offset: 0, bytes: bytes)
  for tail in [0, 1, 2, 1999, 4999, 5000, 9000] {
    var reader = try ContainerLogReader(path: scratch.log, tail: tail)
    var entries: [LogEntry] = []
    while case let more = try reader.read(), !more.isEmpty { entries += more }
    #expect(entries.count == min(tail, 5000))
    if let last = entries.last { #expect(output([last]) == "line 4999\n") }
  }
}

@Test func `what is not a log line is passed over`() throws {
  let scratch = try Scratch()
  try scratch.write(Array("garbage\n\0\n1970-01-01T00:00:00Z stderr F x\n1970".utf8), to: scratch.path + "/log")
  var reader = try ContainerLogReader(path: scratch.path + "/log")
  #expect(try reader.read().map(\.stream) == [.stderr])
  #expect { _ = try ContainerLogReader(path: scratch.path + "/none") } throws: {
    ($0 as? BulkheadError)?.code == .notFound
  }
}
