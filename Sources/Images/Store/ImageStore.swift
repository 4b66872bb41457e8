import Common
import Foundation
import LinuxSystem
import Logging

/// The images of this node: pulled or imported, kept as one disk each, looked up by name or id.
///
/// Readers (`images`, `image`, `disk`) look at a snapshot and never wait. What changes something returns when it is
/// on the disk. A store owns its directory: a second one on it is refused.
public final class ImageStore: Sendable {
  public struct Configuration: Sendable {
    /// Where everything lies; made if it is not there.
    public var directory: String
    /// The directory of `<host>/hosts.toml`; nil for none.
    public var registriesDirectory: String?
    /// At most so many layers of one pull are downloaded at once.
    public var parallelLayers = 3
    public var connectTimeout: Duration = .seconds(15)
    /// The longest silence of a registry within an answer.
    public var idleTimeout: Duration = .seconds(60)
    /// How often a request that failed for a passing reason is made in all.
    public var attempts = 5
    /// Before the first repetition; the waits double from there.
    public var firstRetryWait: Duration = .milliseconds(250)
    /// How much of the disk pulls leave free.
    public var minimumFree: ByteCount = .mebibytes(64)
    /// Where the proxies' variables are.
    public var environment = ProcessInfo.processInfo.environment
    /// Names of images that `remove` refuses.
    public var pinned: [String] = []

    public init(directory: String, registriesDirectory: String? = nil) {
      self.directory = directory
      self.registriesDirectory = registriesDirectory
    }
  }

  let configuration: Configuration
  let catalog: Catalog
  let unpacker: LayerUnpacker
  let logger: Logger
  let pulls = JoinedWork<PullKey, ImageRecord, PullProgress>()
  let layerFetches = JoinedWork<Digest, Void, UInt64>()
  private let lock: StoreLock

  /// Opens the store, and deletes from its directory what no record knows. Throws `failedPrecondition` if another
  /// process has it open.
  public init(configuration: Configuration, unpacker: LayerUnpacker, logger: Logger) async throws {
    self.configuration = configuration
    self.unpacker = unpacker
    self.logger = logger
    let opened = try await onDedicatedThread {
      try StoreOpening(paths: StorePaths(root: configuration.directory), logger: logger).open()
    }
    catalog = opened.catalog
    lock = opened.lock
  }

  /// Closes the database and lets go of the directory. Pulls should have been cancelled before; announce that with
  /// `prepareToClose`, so that they keep what they have downloaded.
  public func close() async throws {
    let catalog = catalog
    try await onDedicatedThread { try catalog.close() }
    lock.release()
  }

  /// From now on a cancelled pull leaves its partial downloads, for the next daemon to resume.
  public func prepareToClose() { catalog.beginClosing() }

  // MARK: Looking up

  /// All images that have a name, sorted by id.
  public func images() -> [ImageRecord] { catalog.read(\.records) }

  /// The image with this name (`alpine`, `host/name:tag`, `name@sha256:...`), this id (with or without `sha256:`) or
  /// this unique beginning of an id. Nil if there is none, or several.
  public func image(_ nameOrIDPrefix: String) -> ImageRecord? {
    let match = catalog.read { ImageLookup(nameOrIDPrefix).match(in: $0) }
    guard case .one(let record, _) = match else { return nil }
    return record
  }

  /// The disk of an image, removed ones that are still in use included. Throws `notFound`.
  public func disk(for id: Digest) throws -> ImageDisk {
    let (entry, layers) = catalog.read { state in
      let entry = state.images[id]
      return (entry, (entry?.image.layers ?? []).compactMap { state.layers[$0] })
    }
    guard let entry else { throw BulkheadError(.notFound, "image \(id) is not here; pull it") }
    let metadata = ImageDisk.Extent(
      path: catalog.paths.metadata(id), size: ByteCount(bytes: entry.image.metadataSize))
    let data = layers.filter { $0.dataSize > 0 }.map { layer in
      ImageDisk.Extent(path: catalog.paths.layerFiles(layer.blob).data, size: ByteCount(bytes: layer.dataSize))
    }
    return ImageDisk(serial: "img-\(id.hex.prefix(16))", extents: [metadata] + data)
  }

  /// What the store takes on its disk now, files that are being made included. Reads the directory: it takes a
  /// while with many images.
  public func usage() async throws -> (bytes: ByteCount, inodes: UInt64) {
    let root = configuration.directory
    let usage = try await onDedicatedThread { StoreFiles.usage(root) }
    return (ByteCount(bytes: usage.bytes), usage.inodes)
  }

  // MARK: Use and removal

  /// Keeps the files of an image while `user`, a container's id for instance, needs them, even when the image is
  /// removed. Once or many times is the same. Throws `notFound` if the image is not here any more.
  public func retain(_ id: Digest, by user: String) throws { try catalog.addUser(user, of: id) }

  /// Ends `retain`. The last user of a removed image takes its files along.
  public func release(_ id: Digest, by user: String) async throws {
    catalog.removeUser(user, of: id)
    try await catalog.removeUnneeded()
  }

  /// To be called once after the start, when everything that runs has retained its image again: until then the
  /// images that were removed in use before the restart are kept.
  public func finishRecovery() async throws {
    catalog.removeUser(StoreOpening.previousRun)
    try await catalog.removeUnneeded()
  }

  /// Removes a name, or by an id all names of the image; an image without names goes as soon as nobody uses it.
  /// What is not here is removed already. Throws `failedPrecondition` for a pinned image, `invalidArgument` for the
  /// beginning of several ids.
  public func remove(_ nameOrIDPrefix: String) async throws {
    switch catalog.read({ ImageLookup(nameOrIDPrefix).match(in: $0) }) {
    case .none: return
    case .several:
      throw BulkheadError(
        .invalidArgument, "several images' ids begin with \(printable(nameOrIDPrefix)); give more of it")
    case .one(let record, let names):
      guard !record.isPinned else { throw BulkheadError(.failedPrecondition, "image \(record.id) is pinned") }
      try await catalog.remove(names: names)
      logger.info("removed image names", metadata: ["image": "\(record.id)", "names": "\(names)"])
    }
  }

  /// Keeps an image from removal, or no longer. Throws `notFound`.
  public func setPinned(_ isPinned: Bool, _ id: Digest) async throws { try await catalog.pin(id, isPinned) }
}
