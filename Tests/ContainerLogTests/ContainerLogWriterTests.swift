import Common
import Foundation
import Testing

@testable import ContainerLog

private func open(_ scratch: Scratch, maximumLine: Int = 16384) throws -> ContainerLogWriter {
  try ContainerLogWriter(path: scratch.log, statePath: scratch.state, maximumLine: maximumLine, clock: { 0 })
}

private func line(_ text: String, _ stream: String = "stdout", _ tag: String = "F") -> String {
  "1970-01-01T00:00:00.000000000Z \(stream) \(tag) \(text)\n"
}

private func offsets(_ pair: (stdout: UInt64, stderr: UInt64)) -> [UInt64] { [pair.stdout, pair.stderr] }

@Test func `whole lines are written and acknowledged, begun ones wait`() throws {
  let scratch = try Scratch()
  let writer = try open(scratch)
  #expect(try scratch.mode(scratch.log) == 0o640)
  #expect(try scratch.mode(scratch.state) == 0o600)
  #expect(offsets(try writer.append(stream: .stdout, offset: 0, bytes: Array("one\ntw".utf8))) == [4, 0])
  #expect(offsets(try writer.append(stream: .stderr, offset: 0, bytes: Array("oops".utf8))) == [4, 0])
  #expect(try scratch.text(scratch.log) == line("one"))
  #expect(offsets(try writer.append(stream: .stdout, offset: 6, bytes: Array("o\n".utf8))) == [8, 0])
  #expect(offsets(try writer.end(stream: .stderr)) == [8, 4])
  #expect(offsets(try writer.end(stream: .stdout)) == [8, 4])
  #expect(try scratch.text(scratch.log) == line("one") + line("two") + line("oops", "stderr", "P"))
}

@Test func `a long line is written piece by piece`() throws {
  let scratch = try Scratch()
  let writer = try open(scratch, maximumLine: 4)
  #expect(offsets(try writer.append(stream: .stdout, offset: 0, bytes: Array("123456789".utf8))) == [8, 0])
  #expect(offsets(try writer.append(stream: .stdout, offset: 9, bytes: Array("\n".utf8))) == [10, 0])
  #expect(try scratch.text(scratch.log) == line("1234", "stdout", "P") + line("5678", "stdout", "P") + line("9"))
}

@Test func `bytes that come again are passed over, missing ones refused`() throws {
  let scratch = try Scratch()
  let writer = try open(scratch)
  try writer.append(stream: .stdout, offset: 0, bytes: Array("one\ntw".utf8))
  try writer.append(stream: .stdout, offset: 0, bytes: Array("one\n".utf8))
  try writer.append(stream: .stdout, offset: 4, bytes: Array("two\n".utf8))
  #expect(throws: BulkheadError.self) { try writer.append(stream: .stdout, offset: 9, bytes: [65]) }
  #expect(throws: BulkheadError.self) { try writer.append(stream: .stdout, offset: .max, bytes: [65]) }
  try writer.append(stream: .stdout, offset: 8, bytes: Array("three\n".utf8))
  #expect(try scratch.text(scratch.log) == line("one") + line("two") + line("three"))
}

/// What a kill -9 leaves, at each step of an append: before the record, between record and log, at
/// each byte of the log's write, and after it. Whatever it was, the next daemon's log is whole.
@Test func `a daemon killed at any step loses no line and doubles none`() throws {
  let first = line("one")
  let second = line("two") + line("three")
  for cut in -1...second.utf8.count {
    let scratch = try Scratch()
    let output = Array("one\ntwo\nthree\nfo".utf8)
    do {
      let writer = try open(scratch)
      try writer.append(stream: .stdout, offset: 0, bytes: Array(output[..<4]))
      let record = try scratch.read(scratch.state)
      let log = try scratch.read(scratch.log)
      #expect(offsets(try writer.append(stream: .stdout, offset: 4, bytes: Array(output[4...]))) == [14, 0])
      if cut == -1 { try overwrite(scratch.state, record) }
      try truncate(scratch.log, log.count + max(0, cut))
    }
    let writer = try open(scratch)
    let start = writer.resumeOffsets
    #expect(start.stdout == (cut == second.utf8.count ? 14 : 4), "cut at \(cut)")
    try writer.append(stream: .stdout, offset: start.stdout, bytes: Array(output[Int(start.stdout)...]))
    try writer.append(stream: .stdout, offset: 16, bytes: Array("ur\n".utf8))
    #expect(try scratch.text(scratch.log) == first + second + line("four"), "cut at \(cut)")
  }
}

@Test func `what was acknowledged is not asked for again`() throws {
  let scratch = try Scratch()
  var acknowledged: [UInt64] = []
  do {
    let writer = try open(scratch)
    try writer.append(stream: .stderr, offset: 0, bytes: Array("e\n".utf8))
    acknowledged = offsets(try writer.append(stream: .stdout, offset: 0, bytes: Array("o\n".utf8)))
  }
  for _ in 0..<3 { #expect(offsets(try open(scratch).resumeOffsets) == acknowledged) }
  #expect(try scratch.text(scratch.log) == line("e", "stderr") + line("o"))
}

@Test func `rotation goes on in a new file`() throws {
  let scratch = try Scratch()
  let writer = try open(scratch)
  try writer.append(stream: .stdout, offset: 0, bytes: Array("one\ntw".utf8))
  try scratch.rename(scratch.log, scratch.log + ".1")
  // Before the kubelet has told it, lines go to the old file.
  try writer.append(stream: .stdout, offset: 6, bytes: Array("o\nth".utf8))
  try writer.reopen()
  try writer.reopen()
  #expect(offsets(try writer.append(stream: .stdout, offset: 10, bytes: Array("ree\n".utf8))) == [14, 0])
  #expect(try scratch.text(scratch.log + ".1") == line("one") + line("two"))
  #expect(try scratch.text(scratch.log) == line("three"))
}

@Test func `rotation while the daemon was dead`() throws {
  let scratch = try Scratch()
  do {
    let writer = try open(scratch)
    try writer.append(stream: .stdout, offset: 0, bytes: Array("one\n".utf8))
    try writer.append(stream: .stdout, offset: 4, bytes: Array("two\n".utf8))
  }
  // Killed within the second line, then renamed.
  try truncate(scratch.log, line("one").utf8.count + 3)
  try scratch.rename(scratch.log, scratch.log + ".1")
  let writer = try open(scratch)
  #expect(writer.resumeOffsets.stdout == 4)
  try writer.append(stream: .stdout, offset: 4, bytes: Array("two\n".utf8))
  #expect(try scratch.text(scratch.log + ".1") == line("one"))
  #expect(try scratch.text(scratch.log) == line("two"))

  writer.close()
  try FileManager.default.removeItem(atPath: scratch.log)
  #expect(try open(scratch).resumeOffsets.stdout == 8)
}

@Test func `a log that can't grow has nothing half-written, and the same bytes can come again`() throws {
  let scratch = try Scratch()
  let writer = try open(scratch)
  // A sparse file 100 bytes below the largest that this file system has: the write stops halfway.
  let largest = try largestFile(scratch.log)
  try truncate(scratch.log, largest - 100)
  try writer.append(stream: .stdout, offset: 0, bytes: Array("one\ntw".utf8))
  let long = [UInt8](repeating: 120, count: 8192) + [10]
  #expect { try writer.append(stream: .stdout, offset: 6, bytes: long) } throws: {
    ($0 as? BulkheadError)?.code == .resourceExhausted
  }
  #expect(try size(scratch.log) == largest - 100 + line("one").utf8.count)
  #expect(offsets(writer.resumeOffsets) == [4, 0])
  try truncate(scratch.log, 0)
  #expect(offsets(try writer.append(stream: .stdout, offset: 4, bytes: Array("two\n".utf8))) == [8, 0])
  #expect(try scratch.text(scratch.log) == line("two"))
}

@Test func `a position that is none is refused, and so is a log that is no file`() throws {
  let scratch = try Scratch()
  try open(scratch).close()
  var record = try scratch.read(scratch.state)
  record[20] ^= 1
  try overwrite(scratch.state, record)
  #expect { _ = try open(scratch) } throws: { ($0 as? BulkheadError)?.code == .dataLoss }
  try FileManager.default.removeItem(atPath: scratch.state)
  try FileManager.default.removeItem(atPath: scratch.log)
  try FileManager.default.createSymbolicLink(atPath: scratch.log, withDestinationPath: "/etc/hostname")
  #expect(throws: BulkheadError.self) { _ = try open(scratch) }
}

@Test func `a closed log takes nothing`() throws {
  let writer = try open(Scratch())
  writer.close()
  writer.close()
  #expect(throws: BulkheadError.self) { try writer.append(stream: .stdout, offset: 0, bytes: [10]) }
}

private func overwrite(_ path: String, _ bytes: [UInt8]) throws {
  let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
  try handle.write(contentsOf: Data(bytes))
  try handle.close()
}

private func truncate(_ path: String, _ size: Int) throws {
  let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
  try handle.truncate(atOffset: UInt64(size))
  try handle.close()
}

private func size(_ path: String) throws -> Int {
  try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? -1
}

private func largestFile(_ path: String) throws -> Int {
  var fits = 0
  var tooLarge = Int.max
  while tooLarge - fits > 1 {
    let middle = fits + (tooLarge - fits) / 2
    if (try? truncate(path, middle)) != nil { fits = middle } else { tooLarge = middle }
  }
  return fits
}
