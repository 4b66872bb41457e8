import Common
import Foundation
import Hypervisor
import LinuxSystem

/// What the next daemon has to know of a machine that this one started, on disk before the machine
/// exists and gone after all of it is released.
struct MachineRecord: Codable, Sendable, Equatable {
  var id: String
  var displayName: String
  var uid: UInt32
  var gid: UInt32
  var vcpus: Int
  var memoryBytes: UInt64
  var accelerator: Accelerator
  var vsock: Vsock
  var disks: [Disk] = []
  var share: Share?

  enum Vsock: Codable, Sendable, Equatable {
    case kernel(cid: UInt32)
    /// Nil until the device runs.
    case device(ProcessIdentity?)
  }

  struct Share: Codable, Sendable, Equatable {
    var tag: String
    var directory: String
    /// Nil until it runs.
    var server: ProcessIdentity?
    var plugged = false
  }

  struct Disk: Codable, Sendable, Equatable {
    var serial: String
    var unit: Int
    var readonly: Bool
    var isDevice = false
    var extents: [Extent]

    struct Extent: Codable, Sendable, Equatable {
      var path: String
      var size: UInt64
    }
  }

  /// The lowest logical unit that no disk has.
  var freeUnit: Int {
    let taken = Set(disks.map(\.unit))
    return (0...disks.count).first { !taken.contains($0) } ?? disks.count
  }

  var machineDisks: [MachineDisk] {
    disks.map { disk in
      MachineDisk(
        serial: disk.serial,
        extents: disk.extents.map { .init(path: $0.path, size: ByteCount(bytes: $0.size)) },
        readonly: disk.readonly, isDevice: disk.isDevice)
    }
  }
}

extension MachineRecord.Disk {
  init(_ disk: MachineDisk, unit: Int) {
    self.init(
      serial: disk.serial, unit: unit, readonly: disk.readonly, isDevice: disk.isDevice,
      extents: disk.extents.map { Extent(path: $0.path, size: $0.size.bytes) })
  }
}

/// The records of all machines, one file each, in a directory that only root enters. Its calls block.
struct MachineRecords: Sendable {
  let directory: String

  func prepare() throws { try makeDirectory(directory, mode: 0o700) }

  func save(_ record: MachineRecord) throws {
    let bytes = try JSONEncoder().encode(record)
    try replaceFile(path(record.id), Array(bytes), mode: 0o600)
  }

  /// Nil if there is none. Throws `dataLoss` for one that cannot be read.
  func load(_ id: MachineID) throws -> MachineRecord? {
    guard let bytes = try readFile(path(id.text)) else { return nil }
    do {
      return try JSONDecoder().decode(MachineRecord.self, from: Data(bytes))
    } catch {
      throw BulkheadError(
        .dataLoss, "the record of machine \(id), \(path(id.text)), is damaged; remove it", cause: error)
    }
  }

  func remove(_ id: MachineID) throws { try removeFile(path(id.text)) }

  func all() throws -> [MachineID] {
    try FileManager.default.contentsOfDirectory(atPath: directory).compactMap { name in
      name.hasSuffix(".json") ? MachineID(String(name.dropLast(5))) : nil
    }
  }

  private func path(_ id: String) -> String { "\(directory)/\(id).json" }
}
