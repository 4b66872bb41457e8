import Common
import Foundation
import GRDB
import HostCgroup
import PodVolumes

/// Something that a pod has outside the daemon. Its row is committed before it is made and deleted
/// after it is released, so that no crash can leave one that nobody knows (docs/design.md, "State").
enum PodResource: Codable, Equatable, Sendable {
  /// The pod's directory of volatile files: /run/bulkhead/pods/ID.
  case runDirectory(path: String)
  case networkNamespace(path: String)
  /// What CNI plugins have made for it, as the directory at `path` says.
  case networkAttachments(path: String)
  case scratchDisk(path: String)
  /// On the host, for the machine's processes.
  case cgroup(path: CgroupPath)
  case machine
  /// The directory that virtiofsd shows to the guest, and virtiofsd with the machine.
  case share(path: String)
  /// Something in it.
  case volume(share: String, ShareEntry)
}

/// A pod as the database keeps it.
struct PodRecord: Codable, Sendable {
  var spec: PodSpec
  var state: PodState
  var reason: String
  var createdAt: Int64
  var phases: [BootPhase]
  var vcpus: Int
  var memoryBytes: UInt64
  var uid: UInt32
  var secret: String
  /// On the pod's first network, the main one first; nil or empty: it has none.
  var addresses: [String]?
}

/// A container as the database keeps it.
struct ContainerRecord: Codable, Sendable {
  var configuration: ContainerConfiguration
  var state: ContainerState
  var createdAt: Int64
  var imageID: String
  var imageRef: String
  var logPath: String
  var user: ResolvedUser
  var stopSignal: Int32
  /// Names of the share's entries that it has mounted.
  var shareEntries: Set<String> = []
}

/// The state database: pods, containers and resources, in SQLite with write-ahead log and
/// `synchronous=FULL`: what a method wrote has reached the disk when it returns.
///
/// Methods may be called from any task; they wait on the database's own queue, not on the caller's
/// thread.
struct Journal: Sendable {
  private let database: DatabasePool

  /// Opens or makes the database file. Throws `dataLoss` where the file is not a database of ours.
  init(path: String) throws {
    do {
      var configuration = GRDB.Configuration()
      configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous=FULL") }
      configuration.busyMode = .timeout(5)
      configuration.maximumReaderCount = 1
      database = try DatabasePool(path: path, configuration: configuration)
      var migrator = DatabaseMigrator()
      migrator.registerMigration("1") { try Journal.createTables($0) }
      try migrator.migrate(database)
    } catch {
      throw BulkheadError(
        .dataLoss, "cannot open the state database \(path); move it away to start afresh", cause: error)
    }
  }

  private static func createTables(_ database: Database) throws {
    try database.execute(
      sql: """
        CREATE TABLE pod (id TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE container (id TEXT PRIMARY KEY, pod TEXT NOT NULL REFERENCES pod(id) ON DELETE CASCADE,
          record BLOB NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE resource (number INTEGER PRIMARY KEY AUTOINCREMENT,
          pod TEXT NOT NULL REFERENCES pod(id), resource BLOB NOT NULL) STRICT;
        """)
  }

  /// A pod as it is found after a restart, its resources in the order in which they were made.
  struct SavedPod: Sendable {
    var id: PodID
    var record: PodRecord
    var containers: [ContainerID: ContainerRecord]
    var resources: [PodResource]
  }

  func load() async throws -> [SavedPod] {
    try await access("read the saved pods") { try await database.read { try Journal.readAll($0) } }
  }

  private static func readAll(_ database: Database) throws -> [SavedPod] {
    var pods: [String: SavedPod] = [:]
    for row in try Row.fetchAll(database, sql: "SELECT id, record FROM pod") {
      guard let id = PodID(row["id"]) else { continue }
      pods[id.text] = SavedPod(id: id, record: try decode(row["record"]), containers: [:], resources: [])
    }
    for row in try Row.fetchAll(database, sql: "SELECT id, pod, record FROM container") {
      guard let id = ContainerID(row["id"]) else { continue }
      pods[row["pod"]]?.containers[id] = try decode(row["record"])
    }
    for row in try Row.fetchAll(database, sql: "SELECT pod, resource FROM resource ORDER BY number") {
      pods[row["pod"]]?.resources.append(try decode(row["resource"]))
    }
    return Array(pods.values)
  }

  /// Commits a pod and all that it is about to have, in one transaction.
  func begin(_ id: PodID, _ record: PodRecord, resources: [PodResource]) async throws {
    try await write("record pod \(id.short)") { database in
      try database.execute(
        sql: "INSERT INTO pod (id, record) VALUES (?, ?)", arguments: [id.text, try Journal.encode(record)])
      for resource in resources {
        try database.execute(
          sql: "INSERT INTO resource (pod, resource) VALUES (?, ?)",
          arguments: [id.text, try Journal.encode(resource)])
      }
    }
  }

  func update(_ id: PodID, _ record: PodRecord) async throws {
    try await write("record pod \(id.short)") { database in
      try database.execute(
        sql: "UPDATE pod SET record = ? WHERE id = ?", arguments: [try Journal.encode(record), id.text])
    }
  }

  /// Commits what a pod is about to have beside what it has, in one transaction.
  func add(_ resources: [PodResource], to id: PodID) async throws {
    try await write("record what pod \(id.short) is about to get") { database in
      for resource in resources {
        try database.execute(
          sql: "INSERT INTO resource (pod, resource) VALUES (?, ?)",
          arguments: [id.text, try Journal.encode(resource)])
      }
    }
  }

  /// Forgets a resource that has been released.
  func released(_ resource: PodResource, of id: PodID) async throws {
    try await write("forget a resource of pod \(id.short)") { database in
      try database.execute(
        sql: "DELETE FROM resource WHERE pod = ? AND resource = ?",
        arguments: [id.text, try Journal.encode(resource)])
    }
  }

  /// Forgets a pod and its containers. Its resources must have been released before.
  func delete(_ id: PodID) async throws {
    try await write("forget pod \(id.short)") { database in
      try database.execute(sql: "DELETE FROM pod WHERE id = ?", arguments: [id.text])
    }
  }

  func save(_ id: ContainerID, of pod: PodID, _ record: ContainerRecord) async throws {
    try await write("record container \(id.short)") { database in
      try database.execute(
        sql: """
          INSERT INTO container (id, pod, record) VALUES (?, ?, ?)
          ON CONFLICT (id) DO UPDATE SET record = excluded.record
          """, arguments: [id.text, pod.text, try Journal.encode(record)])
    }
  }

  func delete(_ id: ContainerID) async throws {
    try await write("forget container \(id.short)") { database in
      try database.execute(sql: "DELETE FROM container WHERE id = ?", arguments: [id.text])
    }
  }

  /// Not cancellable: a journal write that was begun is finished, whatever happens to the call it
  /// belongs to.
  private func write(_ doing: String, _ body: @escaping @Sendable (Database) throws -> Void) async throws {
    let database = database
    try await access(doing) { try await uncancelled { try await database.write(body) } }
  }

  private func access<Result>(_ doing: String, _ body: () async throws -> Result) async throws -> Result {
    do { return try await body() } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
      throw BulkheadError(.resourceExhausted, "cannot \(doing): no space is left for the state database", cause: error)
    } catch { throw BulkheadError.wrapping(error, "cannot \(doing)") }
  }

  private static func encode(_ value: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return try encoder.encode(value)
  }

  private static func decode<Value: Decodable>(_ data: Data) throws -> Value {
    try JSONDecoder().decode(Value.self, from: data)
  }
}
