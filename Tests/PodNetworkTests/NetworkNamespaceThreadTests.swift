import Foundation
import LinuxSystem
import PodNetwork
import Synchronization
import Testing

@Suite struct NetworkNamespaceThreadTests {
  /// Where it runs a job, a thread of the concurrency pool may be started, which inherits namespaces.
  private final class Witness: TaskExecutor {
    let namespaces = Mutex<Set<String>>([])

    func enqueue(_ job: UnownedJob) {
      namespaces.withLock { _ = $0.insert(networkNamespace()) }
      job.runSynchronously(on: asUnownedTaskExecutor())
    }
  }

  @Test func noTaskIsWokenByAThreadInAPodsNamespace() async throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("netns-\(UUID().uuidString)").path
    let witness = Witness()
    let inside = try await Task(executorPreference: witness) {
      try await NetworkNamespace.create(at: path)
      return try await NetworkNamespace.run(in: path) { networkNamespace() }
    }.value
    try await NetworkNamespace.delete(at: path)
    #expect(inside != networkNamespace())
    #expect(witness.namespaces.withLock { $0 } == [networkNamespace()])
  }
}

/// Of the calling thread.
private func networkNamespace() -> String {
  (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self/ns/net")) ?? ""
}
