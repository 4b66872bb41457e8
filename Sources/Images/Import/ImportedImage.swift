import Common
import Foundation
import Hashing
import OCISpec

/// An image found in an archive or layout: its documents, checked, and where its layers lie.
struct ImportedImage: Sendable {
  let image: ResolvedImage
  let layers: [FileExtent]
  /// What the archive calls it.
  let names: [ImageReference]
}

/// Docker's archives (`docker save`): a manifest.json that lists configurations, layers and names.
struct DockerArchive: Sendable {
  let source: ImportSource

  private struct Entry: Decodable {
    var config: String
    var repoTags: [String]?
    var layers: [String]

    enum CodingKeys: String, CodingKey {
      case config = "Config"
      case repoTags = "RepoTags"
      case layers = "Layers"
    }
  }

  /// Blocks: each layer is read once for its digest, which the archive does not give.
  func images() throws -> [ImportedImage] {
    let limits = ImageLimits()
    let bytes = try source.file("manifest.json").contents(limit: limits.manifestBytes, what: "manifest.json")
    guard let entries = try? JSONDecoder().decode([Entry].self, from: bytes), entries.count <= 1000 else {
      throw BulkheadError(.invalidArgument, "the archive's manifest.json is not the list that docker save writes")
    }
    return try entries.map(image)
  }

  private func image(_ entry: Entry) throws -> ImportedImage {
    let limits = ImageLimits()
    guard entry.layers.count <= limits.layers else {
      throw BulkheadError(
        .invalidArgument, "an image has \(entry.layers.count) layers; at most \(limits.layers) are taken")
    }
    let config = try source.file(entry.config).contents(limit: limits.configBytes, what: "configuration")
    let files = try entry.layers.map(source.file)
    let document = Manifest(
      mediaType: MediaType.manifest,
      config: Descriptor(
        mediaType: MediaType.config, digest: try Digest(of: config).description, size: Int64(config.count)),
      layers: try files.map(descriptor))
    let resolved = try ResolvedImage(
      digest: nil, manifestBytes: try JSONEncoder().encode(document),
      manifest: try CheckedManifest(document, limits: limits), configBytes: config)
    return ImportedImage(image: resolved, layers: files, names: try (entry.repoTags ?? []).map(ImageReference.init))
  }

  private func descriptor(_ layer: FileExtent) throws -> Descriptor {
    let file = try UnverifiedFile(reading: layer.path)
    let start = try file.read(at: layer.offset, count: Int(min(layer.size, 4)))
    let suffix: String =
      switch LayerPacking(magic: start) {
      case .plain: ""
      case .gzip: "+gzip"
      case .zstd: "+zstd"
      }
    return Descriptor(
      mediaType: "application/vnd.oci.image.layer.v1.tar\(suffix)", digest: try file.digest(of: layer).description,
      size: Int64(clamping: layer.size))
  }
}

/// OCI layouts (image-spec, image-layout.md), as directories or as archives of one.
struct OCILayoutReader: Sendable {
  let source: ImportSource

  /// Every image that the layout names, or, with `isNamed`, the one that a name is given for. Blocks.
  func images(isNamed: Bool) throws -> [ImportedImage] {
    let limits = ImageLimits()
    let bytes = try source.file("index.json").contents(limit: limits.manifestBytes, what: "index.json")
    guard case .index(let index) = try ManifestDocument(bytes, mediaType: MediaType.index) else {
      throw BulkheadError(.invalidArgument, "the layout's index.json is no index")
    }
    let named = index.manifests.filter { name(of: $0) != nil }
    if isNamed || named.isEmpty {
      let chosen = index.manifests.count == 1 ? index.manifests[0] : try PlatformChoice().choose(index)
      return [try image(chosen)]
    }
    guard named.count <= 1000 else { throw BulkheadError(.invalidArgument, "the layout has too many images") }
    return try named.map(image)
  }

  private func image(_ top: Descriptor) throws -> ImportedImage {
    let limits = ImageLimits()
    var next = top
    for _ in 0..<4 {
      let bytes = try verified(Content(next, limit: UInt64(limits.manifestBytes), what: "manifest"))
      switch try ManifestDocument(bytes, mediaType: next.mediaType) {
      case .index(let index): next = try PlatformChoice().choose(index)
      case .image(let document):
        let manifest = try CheckedManifest(document, limits: limits)
        let resolved = try ResolvedImage(
          digest: Digest(top.digest), manifestBytes: bytes, manifest: manifest,
          configBytes: try verified(manifest.config))
        return ImportedImage(
          image: resolved, layers: try manifest.layers.map { try extent($0.content) },
          names: try name(of: top).map { [try ImageReference($0)] } ?? [])
      }
    }
    throw BulkheadError(.invalidArgument, "the layout's indexes name each other too deeply")
  }

  private func extent(_ content: Content) throws -> FileExtent {
    let file = try source.blob(content.digest)
    guard file.size == content.size else {
      throw BulkheadError(
        .dataLoss, "blob \(content.digest) has \(file.size) bytes, its descriptor says \(content.size)")
    }
    return file
  }

  private func verified(_ content: Content) throws -> Data {
    let bytes = try extent(content).contents(limit: Int(clamping: content.size), what: "blob")
    guard try Digest(of: bytes) == content.digest else {
      throw BulkheadError(.dataLoss, "the content of blob \(content.digest) has another digest")
    }
    return bytes
  }

  /// containerd writes whole names; others often only a tag, which names nothing.
  private func name(of descriptor: Descriptor) -> String? {
    if let name = descriptor.annotations?["io.containerd.image.name"] { return name }
    guard let name = descriptor.annotations?["org.opencontainers.image.ref.name"] else { return nil }
    return name.contains("/") || name.contains(":") ? name : nil
  }
}

extension LayerPacking {
  /// By the first bytes of a stream.
  init(magic: [UInt8]) {
    if magic.starts(with: [0x1f, 0x8b]) {
      self = .gzip
    } else if magic.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
      self = .zstd
    } else {
      self = .plain
    }
  }
}
