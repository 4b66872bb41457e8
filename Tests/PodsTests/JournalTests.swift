import Common
import Foundation
import Testing

@testable import Pods

/// A directory of the test's own, removed with it.
func withTemporaryDirectory<Result>(_ body: (String) async throws -> Result) async throws -> Result {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("bulkhead-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try await body(path)
}

func exampleSpec(name: String = "web") -> PodSpec {
  PodSpec(
    metadata: .init(name: name, namespace: "shop", uid: "u1", attempt: 0), runtimeHandler: "", hostname: name,
    logDirectory: "/logs", resolvConf: nil, labels: ["app": "web"], annotations: [:], sysctls: [:], cgroupParent: "",
    resources: nil,
    pidMode: .pod, ipcMode: .pod)
}

private func exampleRecord(_ state: PodState = .starting) -> PodRecord {
  PodRecord(
    spec: exampleSpec(), state: state, reason: "", createdAt: 42, phases: [], vcpus: 1, memoryBytes: 1 << 28,
    uid: 1000, secret: "s")
}

@Suite struct JournalTests {
  @Test func whatWasCommittedIsThereAfterReopening() async throws {
    try await withTemporaryDirectory { directory in
      let id = PodID.random()
      let resources: [PodResource] = [.networkNamespace(path: "/n"), .scratchDisk(path: "/s"), .machine]
      let journal = try Journal(path: "\(directory)/state.db")
      try await journal.begin(id, exampleRecord(), resources: resources)
      try await journal.update(id, exampleRecord(.ready))
      try await journal.released(.scratchDisk(path: "/s"), of: id)

      let pods = try await Journal(path: "\(directory)/state.db").load()
      let pod = try #require(pods.first)
      #expect(pods.count == 1)
      #expect(pod.id == id)
      #expect(pod.record.state == .ready)
      #expect(pod.record.spec == exampleSpec())
      #expect(pod.resources == [.networkNamespace(path: "/n"), .machine])
    }
  }

  /// A pod's row must not go while something of it is left on the host.
  @Test func aPodWithResourcesCannotBeForgotten() async throws {
    try await withTemporaryDirectory { directory in
      let id = PodID.random()
      let journal = try Journal(path: "\(directory)/state.db")
      try await journal.begin(id, exampleRecord(), resources: [.machine])
      await #expect(throws: BulkheadError.self) { try await journal.delete(id) }
      try await journal.released(.machine, of: id)
      try await journal.delete(id)
      #expect(try await journal.load().isEmpty)
    }
  }

  @Test func aFileThatIsNoDatabaseIsRefusedWithItsPath() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/state.db"
      try Data(repeating: 0x55, count: 8192).write(to: URL(fileURLWithPath: path))
      let error = #expect(throws: BulkheadError.self) { _ = try Journal(path: path) }
      #expect(error?.code == .dataLoss)
      #expect(error?.message.contains(path) == true)
    }
  }
}
