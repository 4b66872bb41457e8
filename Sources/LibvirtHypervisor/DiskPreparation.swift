import CLinux
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
    if disk.isDevice { return try prepareDevice(disk, unit: unit) }
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

  /// A block device keeps its owner; the user is named in its access list.
  private func prepareDevice(_ disk: MachineDisk, unit: Int) throws -> DomainDisk {
    guard disk.extents.count == 1, let path = disk.extents.first?.path else {
      throw BulkheadError(.invalidArgument, "disk \(disk.serial): a device is one extent")
    }
    let file = try systemCall("open", subject: printable(path)) { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    defer { close(file) }
    var (size, block): (UInt64, UInt32) = (0, 0)
    try systemCall("ioctl", subject: printable(path)) { bh_block_device(file, &size, &block) }
    if disk.readonly {
      try FileAccess.grantReading(of: path, to: uid)
    } else {
      try FileAccess.grantWriting(of: path, to: uid)
    }
    return DomainDisk(
      serial: disk.serial, path: path, format: .raw, readonly: disk.readonly, unit: unit, deviceBlockSize: block)
  }

  /// Idempotent; files that have gone meanwhile are no failure. `others` are the machine's disks that
  /// stay: files that they share with this one stay readable.
  func withdraw(_ disk: MachineDisk, others: [MachineDisk] = []) throws {
    if disk.isDevice {
      for extent in disk.extents where !others.contains(where: { $0.extents.contains { $0.path == extent.path } }) {
        try FileAccess.revoke(extent.path, from: uid)
      }
      return
    }
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
