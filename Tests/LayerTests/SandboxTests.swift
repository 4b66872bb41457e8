import Foundation
import Glibc
import Images
import Testing

@Suite struct SandboxTests {
  @Test func theProcessHasGivenUpEverything() async throws {
    try requireRoot()
    let scratch = try Scratch()
    let unpacking = try await unpacker().start(compression: .none, directory: scratch.path)
    // Once it reads, it is inside; a whole header makes it wait for the rest.
    try await unpacking.write(Array(ConversionTests.example.prefix(1536)))
    let process = try #require(try await unpackerProcess(scratch))
    let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    func field(_ name: String) -> String? {
      status.split(separator: "\n").first { $0.hasPrefix(name + ":") }.map {
        $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)
      }
    }
    #expect(field("Uid") == "65532\t65532\t65532\t65532")
    #expect(field("Gid") == "65532\t65532\t65532\t65532")
    #expect(field("Groups") == "")
    #expect(field("CapEff") == "0000000000000000")
    #expect(field("CapPrm") == "0000000000000000")
    #expect(field("NoNewPrivs") == "1")
    #expect(field("Seccomp") == "2")
    let files = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").sorted()
    #expect(files == ["0", "1", "2", "3", "4"])
    let network = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/ns/net")
    #expect(network != (try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/net")))
    let root = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/root")
    #expect(root.hasSuffix(" (deleted)"))
    let limits = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
    #expect(limits.contains(/Max core file size +0 +0/))
    #expect(limits.contains(/Max open files +5 +5/))
    await unpacking.abort()
  }

  private func unpackerProcess(_ scratch: Scratch) async throws -> String? {
    for _ in 0..<2000 {
      for process in try FileManager.default.contentsOfDirectory(atPath: "/proc") where Int(process) != nil {
        let data = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/3")
        let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
        if data == scratch.path + "/data", status.contains("Seccomp:\t2") { return process }
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    return nil
  }
}
