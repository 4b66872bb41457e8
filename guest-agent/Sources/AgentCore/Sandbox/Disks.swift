import GRPCCore
import Glibc
import LinuxSystem

/// Where images, the writable layers and the host's directories come from. All calls block.
public protocol DiskSource: Sendable {
  /// Mounts the read-only image whose disk has `serial` on the existing directory `path`.
  func mountImage(serial: String, on path: String) throws
  /// Mounts the pod's scratch disk.
  func mountScratch(serial: String, on path: String) throws
  /// What gives free space of the scratch disk, mounted on `path`, back to the host, if that can be.
  func scratchSpace(of path: String) throws -> ScratchSpace?
  /// Mounts the virtiofs share with `tag`.
  func mountShare(tag: String, on path: String) throws
  /// The block device of a disk: its node in the guest's /dev. Throws NOT_FOUND.
  func device(serial: String) throws -> String
}

/// Disks of the VM's SCSI bus, found by the serial that the hypervisor gave them (VPD page 0x80).
public struct SCSIDisks: DiskSource {
  /// How long a disk may take to appear after it was plugged.
  static let patienceMilliseconds = 5000

  public init() {}

  public func mountImage(serial: String, on path: String) throws {
    try mountFilesystem(
      "erofs", on: path, source: try device(serial: serial), flags: MS_RDONLY | MS_NODEV | MS_NOATIME)
  }

  /// Without the thread that zeroes the inode tables of a new filesystem, 16 MiB a GiB, beside the pod's first
  /// containers: no inode is read that was not written first (ext4(5), noinit_itable).
  public func mountScratch(serial: String, on path: String) throws {
    try mountFilesystem(
      "ext4", on: path, source: try device(serial: serial), flags: MS_NOATIME, data: "prjquota,noinit_itable")
  }

  public func scratchSpace(of path: String) throws -> ScratchSpace? { try ScratchSpace(path) }

  /// Tried until the share's device has been found: it was plugged in a moment ago.
  public func mountShare(tag: String, on path: String) throws {
    for _ in 0..<(Self.patienceMilliseconds / 5) {
      do {
        return try mountFilesystem("virtiofs", on: path, source: tag, flags: 0)
      } catch let error as SystemError where error.number == EINVAL { usleep(5000) }
    }
    throw RPCError(code: .notFound, message: "no share with the tag \(tag) appeared in the VM")
  }

  /// Waits for it to appear.
  public func device(serial: String) throws -> String {
    for _ in 0..<(Self.patienceMilliseconds / 5) {
      if let name = try find(serial) { return "/dev/\(name)" }
      usleep(5000)
    }
    throw RPCError(code: .notFound, message: "no disk with the serial \(serial) appeared in the VM")
  }

  private func find(_ serial: String) throws -> String? {
    for entry in try directoryEntries("/sys/block") where entry.name.starts(with: Array("sd".utf8)) {
      let name = String(decoding: entry.name, as: UTF8.self)
      // A disk that was plugged this moment may have no such page yet.
      guard let page = try? readFile("/sys/block/\(name)/device/vpd_pg80", limit: 256), page.count > 4 else { continue }
      // Four bytes of header (SPC-4, 7.8.15).
      if String(decoding: page.dropFirst(4), as: UTF8.self) == serial, canBeOpened("/dev/\(name)") { return name }
    }
    return nil
  }

  /// The node comes a little after the directory, and the disk behind it a little later still: until then
  /// opening the node fails with ENXIO.
  private func canBeOpened(_ path: String) -> Bool {
    let device = open(path, O_RDONLY | O_CLOEXEC)
    if device >= 0 { close(device) }
    return device >= 0
  }
}

/// The images that are mounted, each once.
actor ImageMounts {
  private let disks: any DiskSource
  private var mounts: [String: Task<Void, any Error>] = [:]

  init(_ disks: any DiskSource) { self.disks = disks }

  /// The directory where the image's filesystem is. Throws NOT_FOUND if its disk doesn't appear; another
  /// call tries again.
  func path(of serial: String) async throws -> String {
    let path = "\(GuestPath.images)/\(serial)"
    let mounting = mounts[serial] ?? mount(serial, on: path)
    do {
      try await mounting.value
    } catch {
      mounts[serial] = nil
      throw error
    }
    return path
  }

  private func mount(_ serial: String, on path: String) -> Task<Void, any Error> {
    let mounting = Task { [disks] in
      try await onDedicatedThread {
        try makeDirectories(path)
        try disks.mountImage(serial: serial, on: path)
      }
    }
    mounts[serial] = mounting
    return mounting
  }
}
