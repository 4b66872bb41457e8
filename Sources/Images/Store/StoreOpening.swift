import Common
import Foundation
import GRDB
import Glibc
import Hashing
import LinuxSystem
import Logging
import Synchronization

/// The start of a store: what the last process left is brought to what its records say. Blocks.
struct StoreOpening: Sendable {
  let paths: StorePaths
  let logger: Logger

  /// Who uses, until `ImageStore.finishRecovery`, the images that had no name left when the daemon ended.
  static let previousRun = "the previous run"

  func open() throws -> (catalog: Catalog, lock: StoreLock) {
    do {
      try FileManager.default.createDirectory(atPath: paths.root, withIntermediateDirectories: true)
      for directory in [paths.root, paths.layers, paths.images, paths.ingest, paths.temporary] {
        try StoreFiles.makeDirectory(directory)
      }
    } catch {
      throw BulkheadError(.failedPrecondition, "the image store \(paths.root) can't be made", cause: error)
    }
    let lock = try StoreLock(path: paths.lock)
    // SQLite gives its other files the mode of this one.
    close(try StoreFiles.open(paths.database, O_RDWR | O_CREAT))
    let database = try ImageDatabase(path: paths.database)
    let state = try load(database)
    sweep(keeping: state)
    return (Catalog(paths: paths, database: database, state: state), lock)
  }

  /// The records whose files are whole; what lacks some is forgotten, with a word in the log: it can be pulled again.
  private func load(_ database: ImageDatabase) throws -> CatalogState {
    try database.changeAtStart { records in
      var state = CatalogState()
      for layer in try records.layers() where isWhole(layer) { state.add(layer) }
      for image in try records.images() {
        guard let entry = try entry(image, state) else {
          logger.warning("files of image \(image.id) are missing or damaged: it is forgotten, pull it again")
          try records.deleteImage(image.id)
          continue
        }
        state.add(entry)
        if image.names.isEmpty { _ = state.addUser(Self.previousRun, of: image.id) }
      }
      let unneeded = state.takeUnneeded(brokenBefore: StoreClock.oldestKept)
      for blob in Set(try records.layers().map(\.blob)).subtracting(state.layers.keys).union(unneeded.layers) {
        try records.deleteLayer(blob)
      }
      return state
    }
  }

  private func isWhole(_ layer: ImageDatabase.Layer) -> Bool {
    let files = paths.layerFiles(layer.blob)
    return StoreFiles.size(files.data) == layer.dataSize && StoreFiles.size(files.index) != nil
  }

  private func entry(_ image: ImageDatabase.Image, _ state: CatalogState) throws -> CatalogState.Entry? {
    guard image.layers.allSatisfy({ state.layers[$0] != nil }),
      StoreFiles.size(paths.metadata(image.id)) == image.metadataSize,
      let config = try? StoreFiles.read(paths.config(image.id), limit: ImageLimits().configBytes),
      try Digest(of: config) == image.id, let parsed = try? ImageConfig(config, platform: PlatformChoice())
    else { return nil }
    let shared = Set(image.layers).reduce(0) { $0 &+ (state.layers[$1]?.diskSize ?? 0) }
    let own = StoreFiles.usage(paths.image(image.id)).bytes
    return .init(image: image, config: parsed, size: ByteCount(bytes: shared &+ own))
  }

  /// Deletes every file that no record knows, except downloads young enough to be resumed.
  private func sweep(keeping state: CatalogState) {
    for name in StoreFiles.names(in: paths.temporary) { StoreFiles.remove("\(paths.temporary)/\(name)") }
    for name in StoreFiles.names(in: paths.layers) where Digest(hex: name).flatMap({ state.layers[$0] }) == nil {
      StoreFiles.remove("\(paths.layers)/\(name)")
    }
    for name in StoreFiles.names(in: paths.images) where Digest(hex: name).flatMap({ state.images[$0] }) == nil {
      StoreFiles.remove("\(paths.images)/\(name)")
    }
    paths.removeOldPartials()
  }
}

/// Keeps a second process, or a second store of this one, out of the directory. The kernel lets go of it when the
/// process dies.
final class StoreLock: Sendable {
  private let file: Mutex<Int32?>

  init(path: String) throws {
    let descriptor = try StoreFiles.open(path, O_RDWR | O_CREAT)
    do {
      try systemCall("flock", subject: path) { flock(descriptor, LOCK_EX | LOCK_NB) }
    } catch {
      close(descriptor)
      throw BulkheadError(.failedPrecondition, "another process uses the image store of \(path)", cause: error)
    }
    file = Mutex(descriptor)
  }

  func release() {
    file.withLock { descriptor in
      guard let open = descriptor else { return }
      // Closing alone would leave it to a process that is just being spawned, until that has reached its exec.
      flock(open, LOCK_UN)
      close(open)
      descriptor = nil
    }
  }

  deinit { release() }
}
