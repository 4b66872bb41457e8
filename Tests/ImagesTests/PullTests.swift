import Common
import Foundation
import OCISpec
import Testing

@testable import Images

@Suite struct PullTests {
  @Test func pullsByTagAndByDigestFromARealRegistry() async throws {
    let registry = try await DockerRegistry()
    let image = try TestImage([["base": Data("one".utf8)], ["top": Data("two".utf8)]])
    try registry.push(image, as: "team/app:v1")
    let test = try await TestStore()

    let record = try await test.store.pull("\(registry.authority)/team/app:v1")
    #expect(record.id == image.id)
    #expect(record.tags == ["\(registry.authority)/team/app:v1"])
    #expect(record.repoDigests == ["\(registry.authority)/team/app@\(image.manifest.digest)"])
    #expect(record.config.env == [Array("PATH=/bin".utf8), Array("GREETING=hello".utf8)])
    #expect(record.config.cmd == ["/bin/hello"])
    #expect(record.size.bytes > 0)

    let byDigest = try await test.store.pull("\(registry.authority)/team/app@\(image.manifest.digest)")
    #expect(byDigest.id == image.id)
    #expect(test.store.images().count == 1)

    let disk = try test.store.disk(for: record.id)
    #expect(disk.serial == "img-\(record.id.hex.prefix(16))")
    #expect(disk.extents.count == 3)
    for extent in disk.extents { #expect(StoreFiles.size(extent.path) == extent.size.bytes) }
    try await test.store.close()
  }

  @Test(arguments: [LayerPacking.plain, .gzip, .zstd])
  func takesEveryPackingOfLayers(_ packing: LayerPacking) async throws {
    let registry = try await DockerRegistry()
    let image = try TestImage([["file": .noise(300_000, seed: 1)]], packing: packing)
    try registry.push(image, as: "app:latest")
    let test = try await TestStore()
    let record = try await test.store.pull("\(registry.authority)/app")
    #expect(record.id == image.id)
  }
}
