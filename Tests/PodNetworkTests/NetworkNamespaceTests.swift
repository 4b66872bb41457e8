import Foundation
import PodNetwork
import Testing

@Suite struct NetworkNamespaceTests {
  /// Needs root, as the daemon does.
  @Test func aNamespaceIsANewOneAndGoesWithoutTrace() async throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("netns-\(UUID().uuidString)").path
    try await NetworkNamespace.create(at: path)
    let mounted = try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
    #expect(mounted.contains(path))
    var ours = stat()
    var made = stat()
    stat("/proc/self/ns/net", &ours)
    stat(path, &made)
    #expect(ours.st_ino != made.st_ino)
    await #expect(throws: (any Error).self) { try await NetworkNamespace.create(at: path) }

    try await NetworkNamespace.delete(at: path)
    try await NetworkNamespace.delete(at: path)
    #expect(!FileManager.default.fileExists(atPath: path))
    #expect(try !String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).contains(path))
  }
}
