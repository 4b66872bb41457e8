import Common

/// The filesystem of an image, made of its converted layers.
public enum ImageFilesystem {
  /// Writes the metadata of an EROFS image, the union of `layers` (base first), to a new file at
  /// `path` (0600; an existing one is replaced), synced to disk. The same layers and `imageID` give
  /// the same bytes.
  ///
  /// Returns the files that make up the disk, in order: the metadata first, then each layer's data
  /// that is not empty. Runs on a thread of its own. Throws `invalidArgument` for layers that don't
  /// fit together (a hard link to a file that isn't there), `dataLoss` for a damaged index.
  public static func write(
    layers: [LayerFiles], imageID: Digest, to path: String
  ) async throws -> [ImageExtent] {
    throw BulkheadError(.unimplemented, "images cannot be made yet")
  }
}
