import Common
import Foundation
import NIOHTTP1
import OCISpec
import Testing

@testable import Images

/// What registries send: the kinds of manifests, and the wrong ones.
@Suite struct ContentTests {
  private func serve(_ content: HonestRegistry) async throws -> ScriptedServer {
    try await ScriptedServer { content.answer($0) }
  }

  @Test(arguments: [false, true])
  func choosesThePlatformOfAnIndex(_ docker: Bool) async throws {
    let format: TestImage.Format = docker ? .docker : .oci
    let plain = try TestImage([["a": Data("plain".utf8)]], format: format)
    let v3 = try TestImage([["a": Data("v3".utf8)]], format: format)
    let arm = try TestImage([["a": Data("arm".utf8)]], format: format, architecture: "arm64")
    let index = try TestImage.index(
      [
        (arm, Platform(architecture: "arm64", os: "linux", variant: "v8")),
        (v3, Platform(architecture: "amd64", os: "linux", variant: "v3")),
        (plain, Platform(architecture: "amd64", os: "linux")),
        (v3, Platform(architecture: "unknown", os: "unknown")),
      ], docker: docker)
    var content = HonestRegistry()
    for image in [plain, v3, arm] { content.add(image, "app", tags: []) }
    content.add(index, "app", tags: ["latest"])
    let server = try await serve(content)
    let test = try await TestStore()
    let record = try await test.store.pull("\(server.authority)/app")
    #expect(record.id == plain.id)
    #expect(record.repoDigests == ["\(server.authority)/app@\(index.digest)"])
    #expect(test.store.image("\(server.authority)/app@\(index.digest)") == record)
  }

  @Test func saysWhichPlatformsThereAre() async throws {
    let arm = try TestImage([["a": Data("arm".utf8)]], architecture: "arm64")
    var content = HonestRegistry()
    content.add(arm, "single")
    content.add(
      try TestImage.index([(arm, Platform(architecture: "arm64", os: "linux"))]), "index", tags: ["latest"])
    let server = try await serve(content)
    let test = try await TestStore()
    for name in ["single", "index"] {
      let error = await failure { try await test.store.pull("\(server.authority)/\(name)") }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message.contains("linux/arm64") == true)
    }
    #expect(test.files.isEmpty)
  }

  @Test func dockerSchema2() async throws {
    let registry = try await DockerRegistry()
    let image = try TestImage([["a": Data("a".utf8)]])
    try registry.push(image, as: "app", arguments: ["--format=v2s2"])
    let test = try await TestStore()
    #expect(try await test.store.pull("\(registry.authority)/app").config.cmd == ["/bin/hello"])
  }

  /// A manifest of which a part is not as it should be, and the code and a word of the error.
  @Test func refusesManifestsThatAreWrong() async throws {
    let image = try TestImage([["a": Data("a".utf8)]])
    let config = image.config.descriptor
    func manifest(_ edit: (inout Manifest) -> Void) throws -> Data {
      var document = Manifest(mediaType: MediaType.manifest, config: config, layers: [image.layers[0].descriptor])
      edit(&document)
      return try JSONEncoder().encode(document)
    }
    let cases: [(String, Data, BulkheadError.Code)] = [
      ("no JSON", Data("<html>".utf8), .invalidArgument),
      ("empty", Data(), .invalidArgument),
      ("schema 1", Data(#"{"schemaVersion":1,"name":"a","fsLayers":[]}"#.utf8), .unimplemented),
      (
        "both", Data(#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#.utf8), .invalidArgument
      ),
      ("artifact", try manifest { $0.config.mediaType = "application/vnd.cncf.helm.config.v1+json" }, .invalidArgument),
      ("layer type", try manifest { $0.layers[0].mediaType = "application/wasm" }, .invalidArgument),
      ("digest", try manifest { $0.layers[0].digest = "sha256:../../../etc/passwd" }, .invalidArgument),
      ("algorithm", try manifest { $0.layers[0].digest = "md5:00" }, .invalidArgument),
      ("negative", try manifest { $0.layers[0].size = -1 }, .invalidArgument),
      ("absurd", try manifest { $0.layers[0].size = Int64.max }, .invalidArgument),
      ("large config", try manifest { $0.config.size = 1 << 30 }, .invalidArgument),
      ("layers", try manifest { $0.layers = Array(repeating: $0.layers[0], count: 600) }, .invalidArgument),
      ("layer count", try manifest { $0.layers.append($0.layers[0]) }, .invalidArgument),
      ("long", Data(repeating: UInt8(ascii: " "), count: 5 << 20), .dataLoss),
      ("deep", Data(repeating: UInt8(ascii: "["), count: 1 << 20), .invalidArgument),
    ]
    var content = HonestRegistry()
    content.add(image, "app")
    for (number, (_, bytes, _)) in cases.enumerated() {
      content.add(try .init(mediaType: MediaType.manifest, bytes: bytes), "app", tags: ["case\(number)"])
    }
    let server = try await serve(content)
    let test = try await TestStore()
    for (number, (name, _, code)) in cases.enumerated() {
      let error = await failure { try await test.store.pull("\(server.authority)/app:case\(number)") }
      #expect(error?.code == code, "\(name): \(error.map(\.description) ?? "no error")")
    }
    #expect(test.files.isEmpty)
    #expect(test.store.images().isEmpty)
  }

  /// Each digest in turn is given other content; nothing of it may stay.
  @Test func refusesContentThatDoesNotMatch() async throws {
    let image = try TestImage([["a": .noise(100_000, seed: 5)]])
    for (number, blob) in (image.blobs + [image.manifest]).enumerated() {
      var content = HonestRegistry()
      content.add(image, "app")
      let server = try await ScriptedServer { [content] request in
        var answer = content.answer(request)
        if request.path.hasSuffix(blob.digest.description), !answer.body.isEmpty {
          answer.body[answer.body.count / 2] ^= 1
        }
        return answer
      }
      let test = try await TestStore()
      let error = await failure { try await test.store.pull("\(server.authority)/app@\(image.manifest.digest)") }
      #expect(error?.code == .dataLoss, "\(number): \(error.map(\.description) ?? "no error")")
      #expect(error?.message.contains(blob.digest.description) == true)
      #expect(test.files.isEmpty)
    }
  }

  @Test func refusesALayerThatIsLongerOrShorter() async throws {
    let image = try TestImage([["a": .noise(100_000, seed: 6)]])
    for change in [{ $0.dropLast() }, { $0 + Data([0]) }] as [@Sendable (Data) -> Data] {
      var content = HonestRegistry()
      content.add(image, "app")
      let server = try await ScriptedServer { [content] request in
        var answer = content.answer(request)
        if request.path.hasSuffix(image.layers[0].digest.description) { answer.body = change(answer.body) }
        return answer
      }
      let test = try await TestStore()
      #expect(await failure { try await test.store.pull("\(server.authority)/app") }?.code == .dataLoss)
      #expect(test.files.isEmpty)
    }
  }

  @Test func refusesALayerThatUnpacksToSomethingElse() async throws {
    let image = try TestImage([["a": Data("a".utf8)]])
    let other = try TestImage([["a": Data("b".utf8)]])
    var mixed = image
    mixed.layers = other.layers
    mixed.manifest = try TestImage.manifest(image.config, other.layers)
    var content = HonestRegistry()
    content.add(mixed, "app")
    let server = try await serve(content)
    let test = try await TestStore()
    #expect(await failure { try await test.store.pull("\(server.authority)/app") }?.code == .dataLoss)
    #expect(test.store.images().isEmpty)
    #expect(test.files.isEmpty)
  }

  @Test func foreignLayersComeFromTheRegistryOnly() async throws {
    var image = try TestImage([["a": Data("a".utf8)]])
    let elsewhere = try await ScriptedServer { [layer = image.layers[0]] _ in .init(body: layer.bytes) }
    var descriptor = image.layers[0].descriptor
    descriptor.mediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    descriptor.urls = ["http://\(elsewhere.authority)/layer"]
    let document = Manifest(mediaType: MediaType.manifest, config: image.config.descriptor, layers: [descriptor])
    image.manifest = try .init(mediaType: MediaType.manifest, bytes: JSONEncoder().encode(document))
    var (full, lacking) = (HonestRegistry(), HonestRegistry())
    full.add(image, "app")
    image.layers = []
    lacking.add(image, "app")
    let (first, second) = (try await serve(full), try await serve(lacking))
    let test = try await TestStore()
    let error = await failure { try await test.store.pull("\(second.authority)/app") }
    #expect(error?.code == .failedPrecondition)
    #expect(error?.message.contains("foreign") == true)
    _ = try await test.store.pull("\(first.authority)/app")
    #expect(elsewhere.requests.isEmpty)
  }

  @Test func missingThingsAreNamed() async throws {
    let registry = try await DockerRegistry()
    let test = try await TestStore()
    let error = await failure { try await test.store.pull("\(registry.authority)/no/such:thing") }
    #expect(error?.code == .notFound)
    #expect(error?.message.contains("\(registry.authority)/no/such:thing") == true)
    let nobody = try freePort()
    let gone = await failure { try await test.store.pull("127.0.0.1:\(nobody)/app") }
    #expect(gone?.code == .unavailable)
    #expect(gone?.message.contains("can't be reached") == true)
  }
}
