import Common
import Hypervisor
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Gives one machine's user what a disk is made of, and takes it back. Calls block.
struct DiskPreparation: Sendable {
  var directory: MachineDirectory
  var uid: UInt32
  var gid: UInt32

  /// A read-only disk's files stay root's, and the user may read them; a writable disk's file becomes
  /// the user's.
  func prepare(_ disk: MachineDisk, unit: Int) throws -> DomainDisk {
    var isWholeFile = disk.extents.count == 1
    for extent in disk.extents {
      let size = try fileSize(extent.path, of: disk)
      let sectors = (size + VMDKDescriptor.sectorSize - 1) / VMDKDescriptor.sectorSize
      guard extent.size.bytes / VMDKDescriptor.sectorSize <= sectors else {
        throw BulkheadError(
          .invalidArgument,
          "disk \(disk.serial): \(printable(extent.path)) has \(size) bytes, not the \(extent.size.bytes) it should show"
        )
      }
      if extent.size.bytes / VMDKDescriptor.sectorSize != sectors { isWholeFile = false }
    }
    guard let first = disk.extents.first, disk.readonly || isWholeFile else {
      throw BulkheadError(.invalidArgument, "disk \(disk.serial): a writable disk is one whole file")
    }
    guard disk.readonly else {
      try systemCall("chmod", subject: first.path) { chmod(first.path, 0o600) }
      try systemCall("chown", subject: first.path) { chown(first.path, uid, gid) }
      return DomainDisk(serial: disk.serial, path: first.path, format: .raw, readonly: false, unit: unit)
    }
    for extent in disk.extents { try FileAccess.grantReading(of: extent.path, to: uid) }
    if isWholeFile {
      return DomainDisk(serial: disk.serial, path: first.path, format: .raw, readonly: true, unit: unit)
    }
    let descriptor = directory.descriptor(unit: unit)
    let text = try VMDKDescriptor.text(disk.extents)
    try replaceFile(descriptor, Array(text.utf8), mode: 0o400, owner: (uid, gid))
    return DomainDisk(serial: disk.serial, path: descriptor, format: .vmdk, readonly: true, unit: unit)
  }

  /// Idempotent; files that have gone meanwhile are no failure. `others` are the machine's disks that
  /// stay: files that they share with this one stay readable.
  func withdraw(_ disk: MachineDisk, others: [MachineDisk] = []) throws {
    guard disk.readonly else {
      for extent in disk.extents where access(extent.path, F_OK) == 0 {
        try systemCall("chown", subject: extent.path) { chown(extent.path, 0, 0) }
      }
      return
    }
    let stillUsed = Set(others.filter(\.readonly).flatMap { $0.extents.map(\.path) })
    for extent in disk.extents where !stillUsed.contains(extent.path) {
      try FileAccess.revoke(extent.path, from: uid)
    }
  }

  private func fileSize(_ path: String, of disk: MachineDisk) throws -> UInt64 {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw BulkheadError(
        .notFound, "disk \(disk.serial)", cause: SystemError("stat", errno, subject: printable(path)))
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw BulkheadError(.invalidArgument, "disk \(disk.serial): \(printable(path)) is no regular file")
    }
    return UInt64(status.st_size)
  }
}
