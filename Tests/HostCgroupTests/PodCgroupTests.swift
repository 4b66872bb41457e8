import Common
import Foundation
import Testing

@testable import HostCgroup

/// On this node's own cgroups; needs root, as the daemon does.
@Suite struct PodCgroupTests {
  private let name = "bulkhead-test-\(UUID().uuidString.prefix(8))"

  private func directories(_ path: String) throws -> [String] {
    try CgroupHierarchy.mounted().map { $0.mountPoint + path }
  }

  private func there(_ path: String) throws -> Int {
    try directories(path).filter { FileManager.default.fileExists(atPath: $0) }.count
  }

  @Test func processesAndTheirChildrenAreInIt() throws {
    let cgroup = try PodCgroup(CgroupPath(parent: "/\(name)/burstable", pod: .random()))
    try cgroup.create()
    try cgroup.create()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "sleep 20 & echo born; wait"]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    #expect(output.fileHandleForReading.availableData == Data("born\n".utf8))
    try cgroup.add([process.processIdentifier, 0x3fff_ffff])
    for directory in try directories(cgroup.path.text) {
      let members = try String(contentsOfFile: "\(directory)/cgroup.procs", encoding: .utf8).split(separator: "\n")
      #expect(members.count == 2 && members.contains("\(process.processIdentifier)"), "\(directory): \(members)")
    }
    for directory in try directories(cgroup.path.text).prefix(1) {
      let members = try String(contentsOfFile: "\(directory)/cgroup.procs", encoding: .utf8).split(separator: "\n")
      for member in members.compactMap({ Int32($0) }) { kill(member, SIGKILL) }
    }
    // Has ended already, unless it was not moved.
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    try cgroup.remove()
    try cgroup.remove()
    #expect(try there("/\(name)") == 0)
  }

  @Test func whatWasThereStaysAndTheLastPodRemovesTheRest() throws {
    for directory in try directories("/\(name)") {
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    }
    defer { for directory in (try? directories("/\(name)")) ?? [] { rmdir(directory) } }
    let one = try PodCgroup(CgroupPath(parent: "/\(name)/made", pod: .random()))
    let two = try PodCgroup(CgroupPath(parent: "/\(name)/made", pod: .random()))
    try one.create()
    try two.create()
    try one.remove()
    #expect(try there("/\(name)/made") > 0)
    try two.remove()
    #expect(try there("/\(name)/made") == 0)
    #expect(try there("/\(name)") == CgroupHierarchy.mounted().count)
  }
}
