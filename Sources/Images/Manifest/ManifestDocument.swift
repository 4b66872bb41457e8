import Common
import Foundation
import OCISpec

/// What a registry or a layout holds under a manifest's digest.
enum ManifestDocument: Sendable {
  case image(Manifest)
  case index(Index)

  /// Decodes `bytes`. `mediaType` is what the answer's header or the descriptor called it, nil if nothing did.
  /// Throws `invalidArgument`: for what can be read as both image and index, too, since two readers would run two
  /// different things (CVE-2021-41190).
  init(_ bytes: Data, mediaType: String?) throws {
    let outline: Outline
    do {
      outline = try JSONDecoder().decode(Outline.self, from: bytes)
    } catch {
      throw BulkheadError(.invalidArgument, "the manifest is not JSON of that format")
    }
    let type = outline.mediaType ?? mediaType ?? ""
    if outline.schemaVersion == 1 || type.hasPrefix("application/vnd.docker.distribution.manifest.v1+") {
      throw BulkheadError(
        .unimplemented,
        "this is a manifest of Docker's schema 1, given up in 2016; push the image again with a current tool")
    }
    let isIndexType = type == MediaType.index || type == MediaType.dockerManifestList
    switch (outline.hasManifests, outline.hasLayers || outline.hasConfig) {
    case (true, false) where type != MediaType.manifest && type != MediaType.dockerManifest:
      self = .index(try Self.decode(bytes))
    case (false, true) where !isIndexType:
      self = .image(try Self.decode(bytes))
    default:
      throw BulkheadError(.invalidArgument, "the manifest is neither clearly an image nor clearly an index")
    }
  }

  private static func decode<Document: Decodable>(_ bytes: Data) throws -> Document {
    do {
      return try JSONDecoder().decode(Document.self, from: bytes)
    } catch {
      throw BulkheadError(.invalidArgument, "the manifest lacks a field, or has one of the wrong type")
    }
  }

  /// What tells the kinds apart.
  private struct Outline: Decodable {
    var schemaVersion: Int?
    var mediaType: String?
    var hasManifests: Bool
    var hasLayers: Bool
    var hasConfig: Bool

    enum CodingKeys: CodingKey { case schemaVersion, mediaType, manifests, layers, config }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      schemaVersion = try container.decodeIfPresent(Int.self, forKey: .schemaVersion)
      mediaType = try container.decodeIfPresent(String.self, forKey: .mediaType)
      hasManifests = container.contains(.manifests)
      hasLayers = container.contains(.layers)
      hasConfig = container.contains(.config)
    }
  }
}
