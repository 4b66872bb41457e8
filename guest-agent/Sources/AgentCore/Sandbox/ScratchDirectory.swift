import CGuest
import ContainerInit
import Glibc
import LinuxSystem

/// A container's part of the scratch disk: its writable layer. All calls block.
struct ScratchDirectory: Sendable {
  let path: String
  var upper: String { "\(path)/upper" }
  var work: String { "\(path)/work" }

  init(containerID: String) { path = "\(GuestPath.scratch)/\(containerID)" }

  /// What is written below counts against `project`, where the filesystem can count.
  func create(project: UInt32) throws {
    try makeDirectories(path)
    let directory = Descriptor(
      owning: try systemCall("open", subject: path) { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
    guest_set_project(directory.number, project)
    try makeDirectories(upper)
    try makeDirectories(work)
  }

  /// Deletes everything. The container made this tree and may have made it as deep as it liked: every
  /// directory found is moved to the top, so that neither stack nor paths nor descriptors grow with depth.
  /// What can't be deleted (immutable files) stays; the pod's disk goes with the pod.
  func remove() {
    var moved = 0
    var progress = true
    while progress {
      progress = false
      for entry in (try? directoryEntries(path)) ?? [] {
        guard entry.isDirectory else {
          if unlink("\(path)/", entry.name) { progress = true }
          continue
        }
        empty("\(path)/" + String(decoding: entry.name, as: UTF8.self), moved: &moved)
        if rmdir("\(path)/" + String(decoding: entry.name, as: UTF8.self)) == 0 { progress = true }
      }
    }
    rmdir(path)
  }

  private func empty(_ directory: String, moved: inout Int) {
    for entry in (try? directoryEntries(directory)) ?? [] {
      guard entry.isDirectory else {
        _ = unlink("\(directory)/", entry.name)
        continue
      }
      moved += 1
      _ = withPath(Array("\(directory)/".utf8) + entry.name) { rename($0, "\(path)/moved-\(moved)") }
    }
  }

  private func unlink(_ directory: String, _ name: [UInt8]) -> Bool {
    withPath(Array(directory.utf8) + name) { Glibc.unlink($0) } == 0
  }
}
