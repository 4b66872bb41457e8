import Common
import Foundation
import Glibc
import Images
import Testing

@Suite struct ConversionTests {
  static let example = tar { tar in
    tar.add("bin/", .directory, mode: 0o755)
    tar.add("bin/tool", .file, Array("#!/bin/sh\n".utf8), mode: 0o755)
    tar.add("big", .file, (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) })
    tar.add("link", .symlink, link: "bin/tool")
  }

  @Test(arguments: [1, 511, 70_000, 10_000_000])
  func aLayerConvertsTheSameInPiecesOfAnySize(piece: Int) async throws {
    let layer = piece == 1 ? tar { $0.add("a", .file, [1, 2, 3]) } : Self.example
    let scratch = try Scratch()
    let converted = try await convert(layer, into: scratch.path, piece: piece)
    #expect(converted.diffID.hex == (try sha256(Data(layer))))
    #expect(converted.entries == (piece == 1 ? 1 : 4))
    #expect(converted.dataSize == ByteCount(bytes: piece == 1 ? 4096 : 4096 + 1_003_520))
  }

  @Test(arguments: [("gzip", LayerCompression.gzip), ("zstd", .zstd)])
  func compressedLayersGiveTheSameAsPlain(program: String, compression: LayerCompression) async throws {
    let scratch = try Scratch()
    let plain = try await convert(Self.example, into: try scratch.directory("plain"))
    // Two members or frames, split where no entry begins.
    let parts = try [Self.example[..<700], Self.example[700...]].map { try compress(Array($0), program) }
    let converted = try await convert(
      parts[0] + parts[1], compression, into: try scratch.directory("packed"), piece: 7777)
    #expect(converted.diffID == plain.diffID)
    for name in ["data", "index"] {
      #expect(
        FileManager.default.contentsEqual(
          atPath: scratch.path + "/plain/" + name, andPath: scratch.path + "/packed/" + name))
    }
  }

  @Test func anEmptyLayerIsAnEmptyImage() async throws {
    let scratch = try Scratch()
    let converted = try await convert([], into: scratch.path)
    #expect(converted.entries == 0)
    #expect(converted.dataSize.bytes == 0)
  }

  @Test func filesAreForTheOwnerAlone() async throws {
    let scratch = try Scratch()
    try await convert(Self.example, into: scratch.path)
    for name in ["data", "index"] {
      var status = stat()
      #expect(stat(scratch.path + "/" + name, &status) == 0)
      #expect(status.st_mode & 0o7777 == 0o600)
    }
    let second = await #expect(throws: BulkheadError.self) { try await convert(Self.example, into: scratch.path) }
    #expect(second?.code == .alreadyExists)
  }

  @Test func anAbortedConversionLeavesNoProcess() async throws {
    let scratch = try Scratch()
    let unpacking = try await unpacker().start(compression: .none, directory: scratch.path)
    try await unpacking.write(Array(Self.example.prefix(5000)))
    #expect(try childProcesses(in: scratch) == 1)
    await unpacking.abort()
    await unpacking.abort()
    #expect(try childProcesses(in: scratch) == 0)
    await #expect(throws: BulkheadError.self) { try await unpacking.write([1]) }
    await #expect(throws: BulkheadError.self) { try await unpacking.finish() }
  }

  @Test func aCancelledTaskEndsTheProcess() async throws {
    let scratch = try Scratch()
    let unpacking = try await unpacker().start(compression: .none, directory: scratch.path)
    let task = Task {
      while true { try await unpacking.write([UInt8](repeating: 0, count: 1 << 20)) }
    }
    try await Task.sleep(for: .milliseconds(50))
    task.cancel()
    await #expect(throws: BulkheadError.self) { try await task.value }
    await unpacking.abort()
    #expect(try childProcesses(in: scratch) == 0)
  }

  @Test func aProcessThatDoesNothingIsStopped() async throws {
    let scratch = try Scratch()
    let limits = LayerLimits(stallTimeout: .milliseconds(200))
    let sleeper = scratch.path + "/sleeper"
    try Data("#!/bin/sh\nexec sleep 1000\n".utf8).write(to: URL(fileURLWithPath: sleeper))
    chmod(sleeper, 0o700)
    let unpacker = LayerUnpacker(executable: sleeper, uid: 65532, gid: 65532, limits: limits)
    let unpacking = try await unpacker.start(compression: .none, directory: scratch.path)
    let error = await #expect(throws: BulkheadError.self) { try await unpacking.finish() }
    #expect(error?.code == .deadlineExceeded)
  }

  @Test func aMissingExecutableIsNamed() async throws {
    let scratch = try Scratch()
    let unpacker = LayerUnpacker(executable: "/no/such/program", uid: 1, gid: 1, limits: LayerLimits())
    let error = await #expect(throws: BulkheadError.self) {
      try await unpacker.start(compression: .none, directory: scratch.path)
    }
    #expect(error?.description.contains("/no/such/program") == true)
  }

  private func compress(_ bytes: [UInt8], _ program: String) throws -> [UInt8] {
    let scratch = try Scratch()
    try Data(bytes).write(to: URL(fileURLWithPath: scratch.path + "/plain"))
    try run("sh", "-c", "\(program) -c < \(scratch.path)/plain > \(scratch.path)/packed")
    return Array(try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/packed")))
  }

  /// Processes that have a file in `scratch` open.
  private func childProcesses(in scratch: Scratch) throws -> Int {
    var count = 0
    for process in try FileManager.default.contentsOfDirectory(atPath: "/proc") where Int(process) != nil {
      guard Int32(process) != getpid() else { continue }
      let files = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd")) ?? []
      let isOurs = files.contains { file in
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/\(file)"))?
          .hasPrefix(scratch.path) == true
      }
      if isOurs { count += 1 }
    }
    return count
  }
}
