import Common
import Foundation
import OCISpec
import Testing

@testable import Images

@Suite struct ImportTests {
  private let image: TestImage
  private let scratch: Scratch
  private let layout: String

  init() throws {
    image = try TestImage([["a": .noise(300_000, seed: 20)], ["b": Data("b".utf8)]])
    scratch = try Scratch()
    layout = try scratch.directory("layout")
    try OCILayout.write([("team/app:v1", image)], to: layout)
  }

  /// Has skopeo write the image in another form.
  private func copy(to destination: String) throws {
    try run("skopeo", "--insecure-policy", "copy", "oci:\(layout):team/app:v1", destination)
  }

  @Test func anOCILayout() async throws {
    let test = try await TestStore()
    let records = try await test.store.importImage(path: layout)
    #expect(records.map(\.id) == [image.id])
    #expect(records.first?.tags == ["docker.io/team/app:v1"])
    #expect(records.first?.repoDigests == ["docker.io/team/app@\(image.manifest.digest)"])
    #expect(records.first?.layers == image.layers.map(\.digest))
    let again = try await test.store.importImage(path: layout, name: "other.test/name")
    #expect(again.first?.tags == ["docker.io/team/app:v1", "other.test/name:latest"])
    #expect(test.store.images().count == 1)
    for extent in try test.store.disk(for: image.id).extents {
      #expect(StoreFiles.size(extent.path) == extent.size.bytes)
    }
  }

  @Test(arguments: [false, true])
  func archives(_ packed: Bool) async throws {
    let (oci, docker) = ("\(scratch.path)/oci.tar", "\(scratch.path)/docker.tar")
    try copy(to: "oci-archive:\(oci):registry.test/app:v2")
    try copy(to: "docker-archive:\(docker):registry.test/app:v3")
    if packed { try run("gzip", oci, docker) }
    let suffix = packed ? ".gz" : ""
    let test = try await TestStore()
    let first = try await test.store.importImage(path: oci + suffix)
    #expect(first.map(\.tags) == [["registry.test/app:v2"]])
    #expect(first.first?.id == image.id)
    let second = try await test.store.importImage(path: docker + suffix)
    #expect(second.first?.tags.contains("registry.test/app:v3") == true)
    #expect(second.first?.config.env == first.first?.config.env)
    #expect(try test.store.disk(for: second[0].id).extents.count == 3)
    #expect(test.files.allSatisfy { !$0.hasPrefix("tmp/") })
  }

  @Test func severalImagesOfADockerArchive() async throws {
    let other = try TestImage([["c": Data("c".utf8)]])
    let both = try scratch.directory("both")
    var entries: [[String: Any]] = []
    for (name, image) in [("one:v1", image), ("two:v1", other)] {
      for layer in image.layers { try layer.bytes.write(to: URL(fileURLWithPath: "\(both)/\(layer.digest.hex).tar")) }
      try image.config.bytes.write(to: URL(fileURLWithPath: "\(both)/\(image.id.hex).json"))
      entries.append([
        "Config": "\(image.id.hex).json", "RepoTags": [name], "Layers": image.layers.map { "\($0.digest.hex).tar" },
      ])
    }
    try JSONSerialization.data(withJSONObject: entries).write(to: URL(fileURLWithPath: "\(both)/manifest.json"))
    try run("tar", "-C", both, "-cf", "\(scratch.path)/both.tar", ".")
    let test = try await TestStore()
    let records = try await test.store.importImage(path: "\(scratch.path)/both.tar")
    #expect(records.map(\.id) == [image.id, other.id])
    #expect(test.store.image("two:v1")?.id == other.id)
    let error = await failure { try await test.store.importImage(path: "\(scratch.path)/both.tar", name: "x") }
    #expect(error?.code == .invalidArgument)
  }

  @Test func wrongOnesAreRefusedAndLeaveNothing() async throws {
    let test = try await TestStore()
    func code(_ path: String, name: String? = nil) async -> BulkheadError.Code? {
      await failure { try await test.store.importImage(path: path, name: name) }?.code
    }
    #expect(await code("/no/such/file") == .notFound)
    #expect(await code(layout, name: "BAD NAME") == .invalidArgument)
    #expect(await code(layout, name: "x@\(image.id)") == .invalidArgument)
    let nameless = try scratch.directory("nameless")
    try OCILayout.write([("v1", image)], to: nameless)
    #expect(await code(nameless) == .invalidArgument)

    let spoiled = try scratch.directory("spoiled")
    try OCILayout.write([("team/app:v1", image)], to: spoiled)
    let blob = "\(spoiled)/blobs/sha256/\(image.layers[0].digest.hex)"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: blob))
    bytes[bytes.count - 1] ^= 1
    try bytes.write(to: URL(fileURLWithPath: blob))
    #expect(await code(spoiled) != nil)
    try FileManager.default.removeItem(atPath: blob)
    #expect(await code(spoiled) == .invalidArgument)

    let climbing = try scratch.directory("climbing")
    let entry = [["Config": "../../../../etc/passwd", "RepoTags": ["x:y"], "Layers": ["/etc/passwd"]] as [String: Any]]
    try JSONSerialization.data(withJSONObject: entry).write(to: URL(fileURLWithPath: "\(climbing)/manifest.json"))
    #expect(await code(climbing) == .invalidArgument)
    try FileManager.default.createSymbolicLink(atPath: "\(climbing)/link", withDestinationPath: "/etc/passwd")
    try run("tar", "-C", climbing, "-cf", "\(scratch.path)/climbing.tar", ".")
    #expect(await code("\(scratch.path)/climbing.tar") == .invalidArgument)
    #expect(test.files.isEmpty)
    #expect(test.store.images().isEmpty)
  }
}
