import Common
import Foundation
import OCISpec

/// An image's documents, fetched and checked; its layers are yet to come.
struct ResolvedImage: Sendable {
  /// Of what the name stood for: the index where there is one, else the manifest. Nil for an import.
  let digest: Digest?
  let manifestBytes: Data
  let manifest: CheckedManifest
  let configBytes: Data
  let config: ImageConfig

  /// The image's id.
  var id: Digest { manifest.config.digest }

  /// Throws `invalidArgument` or `failedPrecondition` for an image that this node can't or won't run.
  init(digest: Digest?, manifestBytes: Data, manifest: CheckedManifest, configBytes: Data) throws {
    self.digest = digest
    self.manifestBytes = manifestBytes
    self.manifest = manifest
    self.configBytes = configBytes
    config = try ImageConfig(configBytes, platform: PlatformChoice())
    guard config.diffIDs.count == manifest.layers.count else {
      throw BulkheadError(
        .invalidArgument,
        "the image's manifest has \(manifest.layers.count) layers, its configuration \(config.diffIDs.count)")
    }
  }
}

/// From a reference to the documents of the one image that this node runs.
struct ImageResolution: Sendable {
  let client: RegistryClient
  /// An index may name an index; more than this is no image.
  private static let deepest = 3

  func run() async throws -> ResolvedImage {
    let top = try await client.resolve()
    var fetched = top
    for _ in 0...Self.deepest {
      switch try ManifestDocument(fetched.bytes, mediaType: fetched.mediaType) {
      case .image(let document):
        let manifest = try CheckedManifest(document, limits: ImageLimits())
        let config = try await client.smallBlob(manifest.config)
        return try ResolvedImage(
          digest: top.digest, manifestBytes: fetched.bytes, manifest: manifest, configBytes: config)
      case .index(let index):
        let choice = try PlatformChoice().choose(index)
        let content = try Content(choice, limit: UInt64(ImageLimits().manifestBytes), what: "manifest")
        fetched = try await client.manifest(content.digest, size: content.size)
      }
    }
    throw BulkheadError(.invalidArgument, "the image's indexes name each other too deeply")
  }
}
