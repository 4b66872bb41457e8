import Common
import Foundation
import OCISpec
import TestSupport
import Testing

@testable import Images

/// Documents of images with random damage: each is either taken or refused with an error of ours, never anything
/// worse. The seed is fixed; a failure prints the round that failed.
@Suite struct FuzzTests {
  private static let fragments = [
    "null", "true", "-1", "1e999", "9223372036854775808", "\"\"", "{}", "[]", "[[[[[[[[", "\"\\u0000\"", "\"\\ud800\"",
    "\"sha256:\"", "0.5", "\u{feff}", "\"linux\"", ",", ":", "}", "\"layers\":", "\"manifests\":[],", "\"size\":-1,",
  ].map { Data($0.utf8) }

  private static func damaged(_ document: Data, _ random: inout SeededRandom) -> Data {
    var bytes = document
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let position = Int.random(in: 0...bytes.count, using: &random)
      let end = min(bytes.count, position + Int.random(in: 0...12, using: &random))
      switch Int.random(in: 0..<4, using: &random) {
      case 0 where position < bytes.count: bytes[position] = UInt8.random(in: 0...255, using: &random)
      case 1: bytes.removeSubrange(position..<end)
      case 2: bytes.replaceSubrange(position..<end, with: fragments.randomElement(using: &random) ?? Data())
      default: bytes.insert(contentsOf: bytes[position..<end], at: position)
      }
    }
    return bytes
  }

  @Test func imageDocuments() throws {
    let image = try TestImage([["a": Data("a".utf8)], ["b": Data("b".utf8)]])
    let index = try TestImage.index([(image, Platform(architecture: "amd64", os: "linux", variant: "v1"))])
    let documents = [image.manifest.bytes, index.bytes, image.config.bytes]
    var random = SeededRandom(seed: 1)
    var taken = 0
    for round in 0..<6000 {
      let bytes = Self.damaged(documents[round % documents.count], &random)
      do {
        switch try ManifestDocument(bytes, mediaType: nil) {
        case .image(let manifest): _ = try CheckedManifest(manifest, limits: ImageLimits())
        case .index(let index): _ = try Content(PlatformChoice().choose(index), limit: 1 << 20, what: "manifest")
        }
        taken += 1
      } catch {
        #expect(error is BulkheadError, "round \(round): \(error)")
      }
      do {
        _ = try ImageConfig(bytes, platform: PlatformChoice())
        taken += 1
      } catch {
        #expect(error is BulkheadError, "round \(round): \(error)")
      }
    }
    #expect(taken > 100)
  }

  @Test func references() {
    let alphabet = Array("aA0.-_/:@[]%\u{0}\u{301}ä sha256")
    var random = SeededRandom(seed: 2)
    for _ in 0..<20_000 {
      let text = String(
        (0..<Int.random(in: 0...24, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "a" })
      guard let reference = try? ImageReference(text) else { continue }
      #expect((try? ImageReference(reference.description))?.description == reference.description)
      #expect(reference.description.allSatisfy { $0.isASCII && $0 != " " && $0 != "\u{0}" && $0 != "%" })
      #expect(!reference.repository.contains(".."))
    }
  }

  @Test func challengesAndTOML() {
    let alphabet = Array("Basic Bearer realm=\"x\",\\= \u{0}[host.\"a\"]\n")
    var random = SeededRandom(seed: 3)
    for _ in 0..<10_000 {
      let text = String(
        (0..<Int.random(in: 0...60, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "a" })
      #expect(AuthChallenge.parse(text).count <= text.count)
      if !text.contains("\u{0}") { _ = try? HostsFile(text, directory: "/").endpoints(for: "registry.test") }
    }
  }
}
