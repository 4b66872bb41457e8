import CLinux
import Common
import Foundation
import Hypervisor
import LinuxSystem

/// A machine's place below the run directory: its console, secret, sockets and disk descriptors. It is
/// a small file system of its own, so that a guest that writes to its console without end, even while
/// no daemon runs to cut it, fills nothing but this. Root's, and others may only pass through (0711):
/// each file in it says who may read it.
struct MachineDirectory: Sendable {
  let path: String

  /// Enough for a console that is cut at `ConsoleLog.limit`, and for descriptors of many disks.
  private static let options = "size=4m,nr_inodes=256,mode=0711"

  /// Short, because paths of sockets below it may have at most 107 bytes (unix(7)); 80 random bits.
  init(runDirectory: String, id: MachineID) { path = "\(runDirectory)/\(id.text.prefix(20))" }

  var console: String { path + "/console.log" }
  var secret: String { path + "/secret" }
  /// Where QEMU reaches the vsock device.
  var vhostSocket: String { path + "/vhost.sock" }
  /// Where we do.
  var vsockSocket: String { path + "/vsock.sock" }
  /// Where QEMU reaches virtiofsd.
  var shareSocket: String { path + "/share.sock" }
  func descriptor(unit: Int) -> String { "\(path)/disk-\(unit).vmdk" }

  func create() throws {
    guard vhostSocket.utf8.count < 108 else {
      throw BulkheadError(.invalidArgument, "the run directory's path is too long for the sockets in it: \(path)")
    }
    try makeDirectory(path, mode: 0o711)
    try systemCall("mount", subject: path) { bh_mount_tmpfs(path, Self.options) }
  }

  /// Empties, unmounts and removes it. One that isn't there is no failure.
  func remove() throws {
    // Emptied first: a mount namespace that another machine's QEMU got meanwhile may hold the file
    // system for longer. More than one, where a daemon died between mounting and knowing of it.
    repeat { try removeFiles() } while bh_detach_mount(path) == 0
    guard errno == EINVAL || errno == ENOENT else { throw SystemError("umount2", errno, subject: path) }
    if rmdir(path) == -1, errno != ENOENT { throw SystemError("rmdir", errno, subject: path) }
  }

  private func removeFiles() throws(SystemError) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] { try removeFile("\(path)/\(name)") }
  }
}
