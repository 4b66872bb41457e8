import Common
import Foundation
import Synchronization
import Testing

@testable import Images

/// Names, removal, use, and what a restart finds.
@Suite struct StoreTests {
  /// A registry with two images that share their base: "one" with the tags a and b, "two" with the tag latest.
  private func serve() async throws -> (server: ScriptedServer, one: TestImage, two: TestImage) {
    let base = ["base": Data.noise(50_000, seed: 8)]
    let one = try TestImage([base, ["one": Data("1".utf8)]])
    let two = try TestImage([base, ["two": Data("2".utf8)]])
    var content = HonestRegistry()
    content.add(one, "one", tags: ["a", "b"])
    content.add(two, "two")
    let server = try await ScriptedServer { [content] in content.answer($0) }
    return (server, one, two)
  }

  @Test func sharedLayersAreFetchedAndKeptOnce() async throws {
    let (server, one, two) = try await serve()
    let test = try await TestStore()
    _ = try await test.store.pull("\(server.authority)/one:a")
    _ = try await test.store.pull("\(server.authority)/two")
    #expect(one.layers[0].digest == two.layers[0].digest)
    let requests = server.requests.filter { $0.path.hasSuffix(one.layers[0].digest.description) }
    #expect(requests.count == 1)
    #expect(test.files.filter { $0.hasPrefix("layers/") && $0.hasSuffix("/data") }.count == 3)

    try await test.store.remove("\(server.authority)/one:a")
    #expect(test.files.filter { $0.hasPrefix("layers/") && $0.hasSuffix("/data") }.count == 2)
    #expect(try test.store.disk(for: two.id).extents.count == 3)
    try await test.store.remove("\(server.authority)/two")
    #expect(test.files.isEmpty)
  }

  @Test func oneTagOfTwoCanGo() async throws {
    let (server, one, _) = try await serve()
    let test = try await TestStore()
    let name = "\(server.authority)/one"
    _ = try await test.store.pull("\(name):a")
    let record = try await test.store.pull("\(name):b")
    #expect(record.tags == ["\(name):a", "\(name):b"])
    try await test.store.remove("\(name):a")
    #expect(test.store.images().map(\.tags) == [["\(name):b"]])
    #expect(test.store.image("\(name):a") == nil)
    try await test.store.remove("\(name):a")
    _ = try await test.store.pull("\(name):a")
    try await test.store.remove(one.id.description)
    #expect(test.store.images().isEmpty)
    #expect(test.files.isEmpty)
    try await test.store.remove("sha256:nothing")
    try await test.store.remove("never/pulled")
  }

  @Test func imagesAreFoundByNameAndId() async throws {
    let (server, one, two) = try await serve()
    let test = try await TestStore()
    let record = try await test.store.pull("\(server.authority)/one:a")
    _ = try await test.store.pull("\(server.authority)/two")
    let texts = [
      "\(server.authority)/one:a", "\(server.authority)/one@\(one.manifest.digest)",
      "\(server.authority)/one:zzz@\(one.manifest.digest)", one.id.description, one.id.hex,
      String(one.id.hex.prefix(12)),
      "sha256:\(one.id.hex.prefix(12))",
    ]
    for text in texts { #expect(test.store.image(text) == record, "\(text)") }
    let common = zip(one.id.hex, two.id.hex).prefix { $0 == $1 }.map { String($0.0) }.joined()
    let none = [
      "", "one", "\(server.authority)/one", "\(server.authority)/two@\(one.manifest.digest)", "*", common, "sha256:",
    ]
    for text in none { #expect(test.store.image(text) == nil, "\(text)") }
  }

  @Test func imagesInUseKeepTheirFiles() async throws {
    let (server, one, _) = try await serve()
    let scratch = try Scratch()
    let first = try await TestStore(scratch)
    _ = try await first.store.pull("\(server.authority)/one:a")
    try first.store.retain(one.id, by: "vm-1")
    try first.store.retain(one.id, by: "vm-2")
    try await first.store.remove("\(server.authority)/one:a")
    #expect(first.store.images().isEmpty)
    #expect(first.store.image(one.id.hex) == nil)
    try await first.store.release(one.id, by: "vm-1")
    #expect(try first.store.disk(for: one.id).extents.allSatisfy { StoreFiles.size($0.path) != nil })
    try await first.store.close()

    // The next daemon keeps it until it knows who still runs from it.
    let second = try await TestStore(scratch)
    try second.store.retain(one.id, by: "vm-2")
    try await second.store.finishRecovery()
    #expect(try second.store.disk(for: one.id).extents.allSatisfy { StoreFiles.size($0.path) != nil })
    try await second.store.release(one.id, by: "vm-2")
    #expect(second.files.isEmpty)
    #expect(await failure { try second.store.retain(one.id, by: "vm-3") }?.code == .notFound)
    #expect(await failure { try second.store.disk(for: one.id) }?.code == .notFound)
  }

  @Test func pinnedImagesStay() async throws {
    let (server, one, _) = try await serve()
    let scratch = try Scratch()
    let first = try await TestStore(scratch)
    _ = try await first.store.pull("\(server.authority)/one:a")
    try await first.store.setPinned(true, one.id)
    try await first.store.close()
    let second = try await TestStore(scratch)
    #expect(second.store.image(one.id.hex)?.isPinned == true)
    #expect(await failure { try await second.store.remove(one.id.hex) }?.code == .failedPrecondition)
    try await second.store.setPinned(false, one.id)
    try await second.store.remove(one.id.hex)
    #expect(second.store.images().isEmpty)
  }

  @Test func aTagThatMovedLeavesTheOldImageByItsDigest() async throws {
    let old = try TestImage([["a": Data("old".utf8)]])
    let new = try TestImage([["a": Data("new".utf8)]])
    let current = Current(old)
    let server = try await ScriptedServer { current.content.answer($0) }
    let test = try await TestStore()
    let name = "\(server.authority)/app"
    _ = try await test.store.pull(name)
    current.set(new)
    #expect(try await test.store.pull(name).id == new.id)
    #expect(test.store.image(name)?.id == new.id)
    #expect(test.store.image(old.id.hex)?.tags == [])
    #expect(test.store.image(old.id.hex)?.repoDigests == ["\(name)@\(old.manifest.digest)"])
    try await test.store.close()
    let again = try await TestStore(test.scratch)
    #expect(again.store.images().count == 2)
    try await again.store.remove("\(name)@\(old.manifest.digest)")
    #expect(again.store.images().map(\.id) == [new.id])
  }

  @Test func aRestartFindsTheSame() async throws {
    let (server, one, _) = try await serve()
    let scratch = try Scratch()
    let first = try await TestStore(scratch)
    _ = try await first.store.pull("\(server.authority)/one:a")
    _ = try await first.store.pull("\(server.authority)/two")
    let (images, disk, files) = (first.store.images(), try first.store.disk(for: one.id), first.files)
    try await first.store.close()
    let second = try await TestStore(scratch)
    #expect(second.store.images() == images)
    #expect(try second.store.disk(for: one.id) == disk)
    #expect(second.files == files)
  }

  @Test func whatNoRecordKnowsIsDeleted() async throws {
    let (server, one, _) = try await serve()
    let scratch = try Scratch()
    let first = try await TestStore(scratch)
    _ = try await first.store.pull("\(server.authority)/one:a")
    let files = first.files
    try await first.store.close()
    let unknown = String(repeating: "ab", count: 32)
    for name in ["layers/\(unknown)", "images/\(unknown)", "tmp/1", "layers/odd", "ingest/odd"] {
      let directory = try scratch.directory("store/\(name)")
      try Data("x".utf8).write(to: URL(fileURLWithPath: "\(directory)/data"))
    }
    let second = try await TestStore(scratch)
    #expect(second.files == files)
    try await second.store.close()

    // An image whose files were damaged is forgotten, and can be pulled again with the layers that are whole.
    try Data("{}".utf8).write(to: URL(fileURLWithPath: "\(second.directory)/images/\(one.id.hex)/config"))
    let third = try await TestStore(scratch)
    #expect(third.store.images().isEmpty)
    #expect(third.files.allSatisfy { $0.hasPrefix("layers/") })
    _ = try await third.store.pull("\(server.authority)/one:a")
    #expect(third.files == files)
  }

  @Test func oneProcessAtATime() async throws {
    let scratch = try Scratch()
    let first = try await TestStore(scratch)
    #expect(await failure { try await TestStore(scratch) }?.code == .failedPrecondition)
    try await first.store.close()
    _ = try await TestStore(scratch)
  }

  @Test func usageIsTrueAndNothingIsReadableByOthers() async throws {
    let (server, _, _) = try await serve()
    let test = try await TestStore()
    let empty = try await test.store.usage()
    _ = try await test.store.pull("\(server.authority)/one:a")
    let full = try await test.store.usage()
    let said = String(decoding: try run("du", "-s", "-B1", test.directory), as: UTF8.self).prefix { $0 != "\t" }
    #expect(full.bytes.bytes == UInt64(said))
    let count = String(decoding: try run("find", test.directory), as: UTF8.self).split(separator: "\n").count
    #expect(full.inodes == UInt64(count))
    #expect(full.bytes > empty.bytes)
    #expect(try run("find", test.directory, "-type", "f", "-perm", "/077").isEmpty)
    #expect(try run("find", test.directory, "-type", "d", "!", "-perm", "711").isEmpty)
    let record = try #require(test.store.images().first)
    let own = test.files.filter { $0.hasPrefix("layers/") || $0.hasPrefix("images/") }
      .reduce(UInt64(0)) { $0 + StoreFiles.usage("\(test.directory)/\($1)").bytes }
    // `own` counts each directory once itself and once with what is in it.
    #expect(record.size.bytes > 50_000 && record.size.bytes <= own)
  }
}

/// The image that a tag stands for, which changes.
private final class Current: Sendable {
  private let image: Mutex<HonestRegistry>

  init(_ image: TestImage) {
    self.image = Mutex(HonestRegistry())
    set(image)
  }

  func set(_ next: TestImage) { image.withLock { $0.add(next, "app") } }
  var content: HonestRegistry { image.withLock(\.self) }
}
