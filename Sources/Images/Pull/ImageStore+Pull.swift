import Common
import Foundation
import LinuxSystem
import Logging
import OCISpec

/// Pulls that can share their work: of the same image with the same rights. Two credentials are two pulls, so that
/// nobody gets an image because somebody else may have it.
struct PullKey: Hashable, Sendable {
  let reference: ImageReference
  let credentials: RegistryCredentials?
}

extension ImageStore {
  /// Pulls the image named `reference` and returns it when it is on the disk. Pulls of the same image join, and so do
  /// pulls of different images in the layers that they share.
  ///
  /// `progress` is called from any thread, often. Cancellation ends the pull unless others wait for it, and leaves
  /// nothing behind; a pull that breaks off otherwise is resumed by the next one.
  /// Throws `invalidArgument` (the name, or an image that is malformed), `notFound`, `unauthenticated`,
  /// `permissionDenied`, `unavailable` (registry out of reach), `dataLoss` (wrong content), `resourceExhausted`
  /// (disk), `failedPrecondition` (platform, configuration), `cancelled`.
  public func pull(
    _ reference: String, credentials: RegistryCredentials? = nil,
    progress: (@Sendable (PullProgress) -> Void)? = nil
  ) async throws -> ImageRecord {
    let key = PullKey(reference: try ImageReference(reference), credentials: credentials)
    do {
      let outcome = try await pulls.run(key, onProgress: progress) { [self] report in
        try await ImagePull(store: self, key: key, report: report).run()
      }
      let record = try outcome.result.get()
      try await applyPins()
      return record
    } catch {
      throw BulkheadError.wrapping(error, "pulling \(key.reference)")
    }
  }

  /// Refuses an image that can't fit before it fills the disk: the packed layers are kept until they are converted,
  /// and take at least as much again unpacked.
  func checkFreeSpace(for missing: [LayerContent], of image: String) async throws {
    let packed = missing.reduce(UInt64(0)) { $0 &+ $1.content.size }
    let needed = ByteCount(bytes: packed &* 2 &+ configuration.minimumFree.bytes)
    let directory = configuration.directory
    let free = try await onDedicatedThread { try StoreFiles.free(directory) }
    guard packed == 0 || free >= needed else {
      throw BulkheadError(
        .resourceExhausted,
        "image \(image) needs at least \(needed) on the disk of \(directory), and \(free) are free: remove images or "
          + "make room")
    }
  }
}
