/// The media types of images, OCI's (image-spec, media-types.md) and those of Docker's schema 2 that mean the same.
public enum MediaType {
  public static let index = "application/vnd.oci.image.index.v1+json"
  public static let manifest = "application/vnd.oci.image.manifest.v1+json"
  public static let config = "application/vnd.oci.image.config.v1+json"
  public static let dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
  public static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
  public static let dockerConfig = "application/vnd.docker.container.image.v1+json"
  /// Docker's first schema; registries still name it, nobody should pull it.
  public static let dockerSchema1 = "application/vnd.docker.distribution.manifest.v1+json"
  public static let dockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
}

/// How a layer's tar stream is packed.
public enum LayerPacking: Hashable, Sendable {
  case plain, gzip, zstd
}

/// What a layer's media type says of it; nil from `init` for a type that is no filesystem layer.
public struct LayerMediaType: Hashable, Sendable {
  public let packing: LayerPacking
  /// "Foreign" or "nondistributable": a registry need not serve it.
  public let isForeign: Bool

  public init?(_ mediaType: String) {
    guard let known = Self.known[mediaType] else { return nil }
    self = known
  }

  private init(_ packing: LayerPacking, isForeign: Bool = false) {
    self.packing = packing
    self.isForeign = isForeign
  }

  private static let known: [String: LayerMediaType] = [
    "application/vnd.oci.image.layer.v1.tar": .init(.plain),
    "application/vnd.oci.image.layer.v1.tar+gzip": .init(.gzip),
    "application/vnd.oci.image.layer.v1.tar+zstd": .init(.zstd),
    "application/vnd.oci.image.layer.nondistributable.v1.tar": .init(.plain, isForeign: true),
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": .init(.gzip, isForeign: true),
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": .init(.zstd, isForeign: true),
    "application/vnd.docker.image.rootfs.diff.tar": .init(.plain),
    "application/vnd.docker.image.rootfs.diff.tar.gzip": .init(.gzip),
    "application/vnd.docker.image.rootfs.diff.tar.zstd": .init(.zstd),
    "application/vnd.docker.image.rootfs.foreign.diff.tar": .init(.plain, isForeign: true),
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": .init(.gzip, isForeign: true),
  ]
}
