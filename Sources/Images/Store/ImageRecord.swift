import Common

/// An image of the store, as it was when asked for.
public struct ImageRecord: Hashable, Sendable, Identifiable {
  /// The digest of its configuration.
  public let id: Digest
  /// The names that it has by tag, in full: `docker.io/library/alpine:latest`. Sorted.
  public let tags: [String]
  /// `repository@digest` of every repository that it was pulled from. Sorted.
  public let repoDigests: [String]
  /// What it takes on disk, layers shared with other images included.
  public let size: ByteCount
  /// When it was pulled or imported, nanoseconds since 1970.
  public let storedAt: Int64
  public let config: ImageConfig
  /// Digests of the layers' blobs, lowest first.
  public let layers: [Digest]
  /// Whether it is kept from removal.
  public let isPinned: Bool
}

/// What a VM gets to see of an image: files that, one after the other, make one read-only disk.
public struct ImageDisk: Hashable, Sendable {
  public struct Extent: Hashable, Sendable {
    public let path: String
    public let size: ByteCount
  }

  /// By this the guest finds the disk: at most 20 of a-z, 0-9 and '-', the same for the same image.
  public let serial: String
  /// The EROFS metadata and then the layers' data.
  public let extents: [Extent]
}
