import Common
import OCISpec

/// A descriptor whose digest is one and whose size is within the limits.
struct Content: Hashable, Sendable {
  let digest: Digest
  let size: UInt64

  init(_ descriptor: Descriptor, limit: UInt64, what: String) throws {
    guard let digest = Digest(descriptor.digest) else {
      throw BulkheadError(
        .invalidArgument,
        "the \(what)'s digest \(printable(descriptor.digest, limit: 100)) is not sha256 and 64 hex digits")
    }
    guard let size = UInt64(exactly: descriptor.size), size <= limit else {
      throw BulkheadError(
        .invalidArgument, "the \(what) says it has \(descriptor.size) bytes; at most \(limit) are taken")
    }
    self.digest = digest
    self.size = size
  }
}

/// A layer as a manifest names it: what to fetch and how it is packed.
struct LayerContent: Hashable, Sendable {
  let content: Content
  let packing: LayerPacking
  let isForeign: Bool
}

/// A manifest whose every digest, size and media type has been checked.
struct CheckedManifest: Sendable {
  let config: Content
  let layers: [LayerContent]

  init(_ manifest: Manifest, limits: ImageLimits) throws {
    let type = manifest.config.mediaType ?? MediaType.config
    guard type == MediaType.config || type == MediaType.dockerConfig else {
      throw BulkheadError(
        .invalidArgument, "this is no container image but an artifact of type \(printable(type, limit: 100))")
    }
    guard manifest.layers.count <= limits.layers else {
      throw BulkheadError(
        .invalidArgument, "the manifest has \(manifest.layers.count) layers; at most \(limits.layers) are taken")
    }
    config = try Content(manifest.config, limit: UInt64(limits.configBytes), what: "configuration")
    layers = try manifest.layers.map { layer in
      let type = layer.mediaType ?? ""
      guard let kind = LayerMediaType(type) else {
        let shown = printable(type, limit: 100)
        throw BulkheadError(.invalidArgument, "a layer has the media type \(shown), which is no filesystem layer's")
      }
      let content = try Content(layer, limit: limits.layerBytes.bytes, what: "layer")
      return LayerContent(content: content, packing: kind.packing, isForeign: kind.isForeign)
    }
  }
}
