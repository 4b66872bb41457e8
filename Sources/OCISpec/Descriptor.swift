/// A reference to content by type, digest and size (image-spec, descriptor.md), as it is written: the digest is
/// checked by who uses it.
public struct Descriptor: Codable, Hashable, Sendable {
  public var mediaType: String?
  public var digest: String
  public var size: Int64
  public var urls: [String]?
  public var annotations: [String: String]?
  public var platform: Platform?

  public init(
    mediaType: String?, digest: String, size: Int64, urls: [String]? = nil, annotations: [String: String]? = nil,
    platform: Platform? = nil
  ) {
    self.mediaType = mediaType
    self.digest = digest
    self.size = size
    self.urls = urls
    self.annotations = annotations
    self.platform = platform
  }
}

/// What a manifest's image runs on (image-spec, image-index.md).
public struct Platform: Codable, Hashable, Sendable {
  public var architecture: String
  public var os: String
  public var variant: String?

  public init(architecture: String, os: String, variant: String? = nil) {
    self.architecture = architecture
    self.os = os
    self.variant = variant
  }
}
