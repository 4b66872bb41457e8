import Common
import Foundation
import GRDB

/// The store's records in SQLite. What is not here does not exist, whatever files there are: a record is written
/// after its files are on the disk, and deleted before them.
struct ImageDatabase: Sendable {
  /// A name of an image: by tag, or by digest where it was pulled so.
  struct Name: Hashable, Sendable {
    let text: String
    let repository: String
    /// Of the manifest or index that the name stood for; nil for an image that came from no registry.
    let manifest: Digest?
  }

  struct Layer: Hashable, Sendable {
    /// Of the blob as it came, packed.
    let blob: Digest
    /// Of the uncompressed tar, as the unpacker says.
    let diffID: Digest
    let dataSize: UInt64
    /// Data and index, in bytes on disk.
    let diskSize: UInt64
    /// When it came, nanoseconds since 1970.
    let storedAt: Int64
  }

  struct Image: Hashable, Sendable {
    let id: Digest
    var layers: [Digest]
    var names: [Name]
    let metadataSize: UInt64
    /// When the image came, nanoseconds since 1970.
    let storedAt: Int64
    var isPinned: Bool
  }

  /// Every change of the store runs on this queue's thread, files included, one at a time.
  private let queue: DatabaseQueue

  init(path: String) throws {
    var configuration = Configuration()
    configuration.label = "images"
    configuration.journalMode = .wal
    configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
    queue = try DatabaseQueue(path: path, configuration: configuration)
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1", migrate: Self.createTables)
    try migrator.migrate(queue)
  }

  private static func createTables(_ database: Database) throws {
    try database.execute(
      sql: """
        CREATE TABLE layer (
          blob TEXT PRIMARY KEY, diff_id TEXT NOT NULL, data_size INTEGER NOT NULL, disk_size INTEGER NOT NULL,
          stored_at INTEGER NOT NULL);
        CREATE TABLE image (
          id TEXT PRIMARY KEY, metadata_size INTEGER NOT NULL, stored_at INTEGER NOT NULL, pinned INTEGER NOT NULL);
        CREATE TABLE image_layer (
          image TEXT NOT NULL REFERENCES image ON DELETE CASCADE, position INTEGER NOT NULL,
          layer TEXT NOT NULL REFERENCES layer, PRIMARY KEY (image, position));
        CREATE TABLE name (
          text TEXT PRIMARY KEY, repository TEXT NOT NULL, manifest TEXT,
          image TEXT NOT NULL REFERENCES image ON DELETE CASCADE);
        """)
  }

  /// Runs `body` on the store's own thread; changes in `transaction`s.
  func change<Result: Sendable>(_ body: @escaping @Sendable (Database) throws -> Result) async throws -> Result {
    try await queue.writeWithoutTransaction(body)
  }

  /// The same for the thread that opens the store, which may wait; in one transaction.
  func changeAtStart<Result>(_ body: (Database) throws -> Result) throws -> Result { try queue.write(body) }

  func close() throws { try queue.close() }
}

extension Database {
  func inOneTransaction(_ body: () throws -> Void) throws {
    try inTransaction {
      try body()
      return .commit
    }
  }

  func layers() throws -> [ImageDatabase.Layer] {
    try Row.fetchAll(self, sql: "SELECT blob, diff_id, data_size, disk_size, stored_at FROM layer").compactMap { row in
      guard let blob = Digest(row[0] as String), let diffID = Digest(row[1] as String) else { return nil }
      return .init(
        blob: blob, diffID: diffID, dataSize: UInt64(clamping: row[2] as Int64),
        diskSize: UInt64(clamping: row[3] as Int64), storedAt: row[4])
    }
  }

  func images() throws -> [ImageDatabase.Image] {
    let layers = Dictionary(
      grouping: try Row.fetchAll(self, sql: "SELECT image, layer FROM image_layer ORDER BY image, position"),
      by: { $0[0] as String })
    let names = Dictionary(
      grouping: try Row.fetchAll(self, sql: "SELECT image, text, repository, manifest FROM name ORDER BY text"),
      by: { $0[0] as String })
    return try Row.fetchAll(self, sql: "SELECT id, metadata_size, stored_at, pinned FROM image").compactMap { row in
      let key = row[0] as String
      guard let id = Digest(key) else { return nil }
      return ImageDatabase.Image(
        id: id,
        layers: (layers[key] ?? []).compactMap { Digest($0[1] as String) },
        names: (names[key] ?? []).map {
          .init(text: $0[1], repository: $0[2], manifest: ($0[3] as String?).flatMap(Digest.init(_:)))
        },
        metadataSize: UInt64(clamping: row[1] as Int64), storedAt: row[2], isPinned: row[3])
    }
  }

  func insert(_ layer: ImageDatabase.Layer) throws {
    try execute(
      sql: "INSERT OR REPLACE INTO layer VALUES (?, ?, ?, ?, ?)",
      arguments: [
        layer.blob.description, layer.diffID.description, Int64(clamping: layer.dataSize),
        Int64(clamping: layer.diskSize), layer.storedAt,
      ])
  }

  func insert(_ image: ImageDatabase.Image) throws {
    let id = image.id.description
    try execute(
      sql: "INSERT INTO image VALUES (?, ?, ?, ?)",
      arguments: [id, Int64(clamping: image.metadataSize), image.storedAt, image.isPinned])
    for (position, layer) in image.layers.enumerated() {
      try execute(sql: "INSERT INTO image_layer VALUES (?, ?, ?)", arguments: [id, position, layer.description])
    }
    try image.names.forEach { try insert($0, of: image.id) }
  }

  func insert(_ name: ImageDatabase.Name, of image: Digest) throws {
    try execute(
      sql: "INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?)",
      arguments: [name.text, name.repository, name.manifest?.description, image.description])
  }

  func deleteNames(_ texts: [String]) throws {
    for text in texts { try execute(sql: "DELETE FROM name WHERE text = ?", arguments: [text]) }
  }

  func setPinned(_ isPinned: Bool, _ id: Digest) throws {
    try execute(sql: "UPDATE image SET pinned = ? WHERE id = ?", arguments: [isPinned, id.description])
  }

  func deleteImage(_ id: Digest) throws {
    try execute(sql: "DELETE FROM image WHERE id = ?", arguments: [id.description])
  }

  func deleteLayer(_ blob: Digest) throws {
    try execute(sql: "DELETE FROM layer WHERE blob = ?", arguments: [blob.description])
  }
}
