import CLinux
import Common
import Foundation
import LinuxSystem
import PodVolumes
import Testing

/// With real mounts; needs root.
@Suite struct ShareDirectoryTests {
  private func withShare(_ body: (ShareDirectory, _ host: String) throws -> Void) throws {
    let base = FileManager.default.temporaryDirectory.appendingPathComponent("bulkhead-\(UUID().uuidString)").path
    let share = ShareDirectory(path: "\(base)/share")
    defer {
      try? share.remove()
      try? FileManager.default.removeItem(atPath: base)
    }
    try makeDirectories("\(base)/host", mode: 0o755)
    try Data("content".utf8).write(to: URL(fileURLWithPath: "\(base)/host/file"))
    try share.make()
    try body(share, "\(base)/host")
  }

  private func entry(_ source: HostSource, _ seal: ShareEntry.Seal = .open) -> ShareEntry {
    ShareEntry(key: ShareEntry.Key(source, .private, seal))
  }

  private func canWrite(_ path: String) -> Bool { FileManager.default.createFile(atPath: path, contents: Data()) }

  @Test func whatIsAddedIsThereAndGoesAgain() throws {
    try withShare { share, host in
      let directory = try HostSource(host)
      let file = try HostSource("\(host)/file")
      let (one, two) = (entry(directory), entry(file))
      try share.add(one, directory, writable: false)
      try share.add(two, file, writable: true)
      #expect(Set(share.names()) == [one.name, two.name])
      #expect(try String(contentsOfFile: "\(share.path)/\(two.name)", encoding: .utf8) == "content")
      #expect(!canWrite("\(share.path)/\(one.name)/new"))
      try share.allowWriting(one.name, server: nil)
      #expect(canWrite("\(share.path)/\(one.name)/new"))
      try share.remove(one.name)
      try share.remove(one.name)
      #expect(share.names() == [two.name])
      #expect(FileManager.default.fileExists(atPath: "\(host)/new"))
      try share.remove()
      try share.remove()
      #expect(!FileManager.default.fileExists(atPath: share.path))
    }
  }

  /// Each step may be repeated by a daemon that finds it half done.
  @Test func everyStepCanBeRepeated() throws {
    try withShare { share, host in
      let source = try HostSource(host)
      let one = entry(source)
      for _ in 0..<3 {
        try share.make()
        try share.add(one, source, writable: true)
      }
      #expect(share.names() == [one.name])
      let mounts = try MountTable.current().entries.filter { $0.mountPoint.starts(with: Array(share.path.utf8)) }
      #expect(mounts.count == 2)
    }
  }

  @Test func nothingButEntriesCanBePutThere() throws {
    try withShare { share, _ in
      #expect(!canWrite("\(share.path)/file"))
      #expect(share.names().isEmpty)
    }
  }

  @Test func sourcesAreHeldWhateverBecomesOfTheirPath() throws {
    try withShare { share, host in
      let source = try HostSource(host)
      try FileManager.default.moveItem(atPath: host, toPath: host + "-moved")
      try FileManager.default.createSymbolicLink(atPath: host, withDestinationPath: "/etc")
      let one = entry(source)
      try share.add(one, source, writable: false)
      #expect(FileManager.default.fileExists(atPath: "\(share.path)/\(one.name)/file"))
      #expect(!FileManager.default.fileExists(atPath: "\(share.path)/\(one.name)/passwd"))
    }
  }

  @Test func whatIsMissingIsMadeAndLinksAreResolved() throws {
    try withShare { _, host in
      #expect(try HostSource("\(host)/a/b").isDirectory)
      try FileManager.default.createSymbolicLink(atPath: "\(host)/link", withDestinationPath: "a")
      #expect(try HostSource("\(host)/link/b").path.hasSuffix("/host/a/b"))
    }
  }

  @Test func whatAMachineCannotBeShown() throws {
    try withShare { _, host in
      for path in ["/dev/null", "/dev/loop-control"] {
        let error = #expect(throws: BulkheadError.self) { try HostSource(path) }
        #expect(error?.code == .invalidArgument)
      }
      let notADevice = #expect(throws: BulkheadError.self) { try BlockDevice("\(host)/file") }
      #expect(notADevice?.message.contains("block device") == true)
      #expect(#expect(throws: BulkheadError.self) { try BlockDevice("\(host)/none") }?.code == .notFound)
    }
  }
}
