import Common
import Foundation
import GRDB
import Glibc
import LinuxSystem
import Synchronization

/// The store's state, its database and its directory, kept in step: files first, then the record, then the state
/// that readers see; the other way round when something goes. Every change runs on the database's own thread, one
/// at a time, so that nothing is taken away while it is being put there.
final class Catalog: Sendable {
  let paths: StorePaths
  private let database: ImageDatabase
  private let state: Mutex<CatalogState>
  private let closing = Atomic(false)

  init(paths: StorePaths, database: ImageDatabase, state: CatalogState) {
    self.paths = paths
    self.database = database
    self.state = Mutex(state)
  }

  /// Looks at the state of this moment. Never waits for a change that is under way.
  func read<Result: Sendable>(_ body: (CatalogState) throws -> Result) rethrows -> Result {
    try state.withLock { try body($0) }
  }

  /// The daemon is going down: what is cancelled now goes on after its restart.
  var isClosing: Bool { closing.load(ordering: .relaxed) }
  func beginClosing() { closing.store(true, ordering: .relaxed) }
  func close() throws { try database.close() }

  // MARK: Use

  /// Throws `notFound` if the image is not here any more.
  func addUser(_ user: String, of id: Digest) throws {
    guard state.withLock({ $0.addUser(user, of: id) }) else {
      throw BulkheadError(.notFound, "image \(id) is not here; pull it")
    }
  }

  func removeUser(_ user: String, of id: Digest) { state.withLock { $0.removeUser(user, of: id) } }
  func removeUser(_ user: String) { state.withLock { $0.removeUser(user) } }

  /// Runs `body`, a pull that needs the layers `blobs`: none of them is deleted meanwhile. When it fails, those that
  /// it brought are kept if it is worth going on from there, and deleted if not.
  func withLease<Result: Sendable>(
    on blobs: [Digest], _ body: @Sendable () async throws -> Result
  ) async throws -> Result {
    let leased = Set(blobs)
    state.withLock { $0.lease(leased) }
    do {
      let result = try await body()
      state.withLock { $0.endLease(leased) }
      return result
    } catch {
      let goesOn = isClosing || (PullBreak.isPassing(error) && !Task.isCancelled)
      state.withLock { state in
        state.endLease(leased)
        if !goesOn { state.abandon(leased) }
      }
      if !goesOn { try? await removeUnneeded() }
      throw error
    }
  }

  // MARK: Additions

  /// Moves a finished layer, whose files are on the disk already, to its place and records it.
  func add(_ layer: ImageDatabase.Layer, from directory: String) async throws {
    try await database.change { [self] database in
      guard state.withLock({ $0.layers[layer.blob] }) == nil else { return StoreFiles.remove(directory) }
      let place = paths.layer(layer.blob)
      StoreFiles.remove(place)
      try StoreFiles.renameDurably(directory, to: place)
      try database.inOneTransaction { try database.insert(layer) }
      state.withLock { $0.add(layer) }
    }
  }

  /// Moves a finished image to its place and records it with its names. An image that is here already only gets
  /// the names.
  func add(_ entry: CatalogState.Entry, from directory: String?) async throws {
    try await database.change { [self] database in
      let id = entry.image.id
      var next = state.withLock(\.self)
      let isNew = next.images[id] == nil
      if isNew {
        guard let directory else { throw BulkheadError(.aborted, "image \(id) was removed meanwhile; pull it again") }
        StoreFiles.remove(paths.image(id))
        try StoreFiles.renameDurably(directory, to: paths.image(id))
        var unnamed = entry
        unnamed.image.names = []
        next.add(unnamed)
      } else if let directory {
        StoreFiles.remove(directory)
      }
      let kept = entry.image.names.flatMap { next.name(id, $0) }
      let holders = kept.compactMap { name in next.image(named: name.text).map { (name, $0) } }
      try database.inOneTransaction {
        if isNew {
          var unnamed = entry.image
          unnamed.names = []
          try database.insert(unnamed)
        }
        for name in entry.image.names { try database.insert(name, of: id) }
        for (name, holder) in holders { try database.insert(name, of: holder) }
      }
      state.withLock { state in
        if isNew {
          var unnamed = entry
          unnamed.image.names = []
          state.add(unnamed)
        }
        for name in entry.image.names { _ = state.name(id, name) }
      }
    }
  }

  func pin(_ id: Digest, _ isPinned: Bool) async throws {
    try await database.change { [self] database in
      guard state.withLock({ $0.images[id] }) != nil else { throw BulkheadError(.notFound, "image \(id) is not here") }
      try database.inOneTransaction { try database.setPinned(isPinned, id) }
      state.withLock { $0.pin(id, isPinned) }
    }
  }

  // MARK: Removals

  /// Takes names away; images that are left with neither name nor user go with their files.
  func remove(names: [String]) async throws {
    try await database.change { [self] database in
      try database.inOneTransaction { try database.deleteNames(names) }
      state.withLock { $0.unname(names) }
    }
    try await removeUnneeded()
  }

  /// Deletes what nothing needs. The records go first, then the names of the directories, and last, when other
  /// changes may go on, the blocks.
  func removeUnneeded() async throws {
    let trash = try await database.change { [self] database -> [String] in
      let (images, layers) = state.withLock { $0.takeUnneeded(brokenBefore: StoreClock.oldestKept) }
      guard !images.isEmpty || !layers.isEmpty else { return [] }
      try database.inOneTransaction {
        try images.forEach(database.deleteImage)
        try layers.forEach(database.deleteLayer)
      }
      return (images.map(paths.image) + layers.map(paths.layer)).map { directory in
        let name = paths.newTemporary()
        return rename(directory, name) == 0 ? name : directory
      }
    }
    try await onDedicatedThread { [paths] in
      trash.forEach(StoreFiles.remove)
      paths.removeOldPartials()
    }
  }
}
