import Common
import Foundation
import Glibc
import Testing

@testable import Images

/// A daemon that dies, and a disk that is full, in the middle of a pull.
@Suite struct CrashTests {
  /// The child process of the test: it pulls until it has had `bytes` bytes, and kills itself.
  private static func pullAndDie(_ directory: String, _ name: String, after bytes: UInt64) async throws {
    var configuration = ImageStore.Configuration(directory: directory)
    configuration.parallelLayers = 1
    let store = try await ImageStore(
      configuration: configuration, unpacker: testUnpacker(), logger: .init(label: ""))
    _ = try await store.pull(name) { progress in
      if progress.bytesDone >= bytes { kill(getpid(), SIGKILL) }
    }
  }

  @Test func aKilledPullLeavesNothingHalfKnownAndResumes() async throws {
    let image = try TestImage([
      ["a": .noise(400_000, seed: 9)], ["b": .noise(2_000_000, seed: 10)], ["c": .noise(400_000, seed: 11)],
    ])
    var content = HonestRegistry()
    content.add(image, "app")
    let server = try await ScriptedServer { [content] in content.answer($0) }
    let name = "\(server.authority)/app"
    let scratch = try Scratch()
    let directory = "\(scratch.path)/store"
    await #expect(processExitsWith: .signal(SIGKILL)) { [directory = directory as String, name = name as String] in
      try await Self.pullAndDie(directory, name, after: 1_500_000)
    }

    let test = try await TestStore(scratch) { $0.parallelLayers = 1 }
    #expect(test.store.images().isEmpty)
    let (first, second) = (image.layers[0].digest.hex, image.layers[1].digest.hex)
    #expect(test.files == ["layers/\(first)", "layers/\(first)/data", "layers/\(first)/index", "ingest/\(second)"])
    let before = server.requests.count
    let record = try await test.store.pull(name)
    #expect(record.id == image.id)
    let blobs = server.requests.dropFirst(before).filter { $0.path.contains("/blobs/") }
    #expect(!blobs.contains { $0.path.hasSuffix(first) })
    #expect(blobs.contains { $0.path.hasSuffix(second) && !$0.headers["range"].isEmpty })
    #expect(test.files.allSatisfy { !$0.hasPrefix("ingest/") && !$0.hasPrefix("tmp/") })
  }

  /// Needs root, to mount a tmpfs.
  @Test
  func aFullDiskIsSaidAndLeavesNothing() async throws {
    let image = try TestImage([["a": .noise(6_000_000, seed: 12)]])
    var content = HonestRegistry()
    content.add(image, "app")
    let server = try await ScriptedServer { [content] in content.answer($0) }
    let scratch = try Scratch()
    let store = try scratch.directory("store")
    try run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", store)
    defer { _ = try? run("umount", "-l", store) }

    let careful = try await TestStore(scratch)
    let refused = await failure { try await careful.store.pull("\(server.authority)/app") }
    #expect(refused?.code == .resourceExhausted)
    #expect(refused?.message.contains("MiB are free") == true)
    #expect(!server.requests.contains { $0.path.hasSuffix(image.layers[0].digest.description) })
    try await careful.store.close()

    // Someone else fills the disk while the pull goes on.
    let filler = try await ScriptedServer { [content] request in
      if request.path.hasSuffix(image.layers[0].digest.description) {
        try? Data(count: 5 << 20).write(to: URL(fileURLWithPath: "\(store)/filler"))
      }
      return content.answer(request)
    }
    try run("mount", "-o", "remount,size=16m", store)
    let test = try await TestStore(scratch)
    let error = await failure { try await test.store.pull("\(filler.authority)/app") }
    #expect(error?.code == .resourceExhausted)
    #expect(error?.message.contains("is full") == true)
    #expect(test.files.isEmpty)
    #expect(test.store.images().isEmpty)
    try await test.store.close()
  }
}
