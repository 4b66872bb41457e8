import CGuest
import ContainerInit
import Glibc
import LinuxSystem
import Synchronization

/// A ConfigMap's, Secret's or projected volume as a copy in memory. The kubelet changes such a volume by
/// swapping the symbolic link `..data` for one to a new directory, and programs watch for that with inotify;
/// but virtiofs brings no events from the host. So the copy is changed in the same way when the link is
/// seen to have changed. All calls block.
final class FollowedVolume: Sendable {
  /// What a copy may have at first, and as it grows.
  private static let limit = CopyBudget(entries: 4096, bytes: 4 << 20)
  private static let size = "size=16m,nr_inodes=16384"
  private static let link = "..data"

  let source: String
  let copy: String
  private let lastFailure = Mutex("")

  init(source: String, copy: String) {
    self.source = source
    self.copy = copy
  }

  /// Throws for a directory that is no such volume or too large; nothing is left then.
  func make() throws {
    guard try visibleNames(source).allSatisfy(\.isLink) else { throw CopyError.notAtomic }
    try makeDirectories(copy)
    try mountFilesystem("tmpfs", on: copy, flags: 0, data: Self.size)
    do {
      try copyAttributes(of: source, to: copy)
      try swap()
    } catch {
      discard()
      throw error
    }
  }

  /// Looks whether the volume has changed, and follows it. False once it is gone. What can't be followed yet
  /// is tried again by the next call, and said once.
  func update() -> Bool {
    guard access(source, F_OK) == 0 else { return false }
    do {
      try swap()
      lastFailure.withLock { $0 = "" }
    } catch {
      let isNew = lastFailure.withLock { last in
        defer { last = "\(error)" }
        return last != "\(error)"
      }
      if isNew { log("\(source) has changed and can't be followed: \(error)") }
    }
    return true
  }

  func discard() {
    umount2(copy, Int32(MNT_DETACH))
    rmdir(copy)
  }

  private func swap() throws {
    let target = try readLink("\(source)/\(Self.link)")
    guard !target.isEmpty, !target.contains("/"), target != ".", target != ".." else { throw CopyError.notAtomic }
    let current = try? readLink("\(copy)/\(Self.link)")
    if target == current { return }
    let directory = "\(copy)/\(target)"
    do {
      var budget = Self.limit
      try copyDirectory("\(source)/\(target)", to: directory, &budget, depth: 0)
    } catch {
      removeTree(directory)
      throw error
    }
    // In the kubelet's own order, so that whoever watches sees the events that he would see there.
    let new = "\(copy)/\(Self.link)_tmp"
    unlink(new)
    try systemCall("symlink", subject: new) { symlink(target, new) }
    try systemCall("rename", subject: new) { rename(new, "\(copy)/\(Self.link)") }
    try syncVisibleNames()
    if let current { removeTree("\(copy)/\(current)") }
  }

  private func syncVisibleNames() throws {
    let wanted = try visibleNames(source).map(\.name)
    let there = try visibleNames(copy).map(\.name)
    for name in wanted where !there.contains(name) {
      let target = try readLink("\(source)/\(name)")
      try systemCall("symlink", subject: name) { symlink(target, "\(copy)/\(name)") }
    }
    for name in there where !wanted.contains(name) { unlink("\(copy)/\(name)") }
  }

  /// What is not the writer's own bookkeeping.
  private func visibleNames(_ directory: String) throws -> [(name: String, isLink: Bool)] {
    try directoryEntries(directory).map { String(decoding: $0.name, as: UTF8.self) }.filter { !$0.hasPrefix("..") }
      .map { ($0, (try? readLink("\(directory)/\($0)")) != nil) }
  }
}

/// How much may still be copied.
struct CopyBudget {
  var entries: Int
  var bytes: Int
}

enum CopyError: Error, CustomStringConvertible {
  case notAtomic, tooLarge

  var description: String {
    switch self {
    case .notAtomic: "it is not laid out as the kubelet's writer does"
    case .tooLarge: "it is too large to be copied into memory"
    }
  }
}

private func copyDirectory(_ source: String, to copy: String, _ budget: inout CopyBudget, depth: Int) throws {
  guard depth < 16 else { throw CopyError.tooLarge }
  try systemCall("mkdir", subject: copy) { mkdir(copy, 0o700) }
  for entry in try directoryEntries(source) {
    budget.entries -= 1
    guard budget.entries >= 0 else { throw CopyError.tooLarge }
    let name = String(decoding: entry.name, as: UTF8.self)
    let (from, to) = ("\(source)/\(name)", "\(copy)/\(name)")
    if entry.isDirectory {
      try copyDirectory(from, to: to, &budget, depth: depth + 1)
    } else if let target = try? readLink(from) {
      try systemCall("symlink", subject: to) { symlink(target, to) }
    } else {
      let bytes = try readFile(from, limit: budget.bytes + 1)
      budget.bytes -= bytes.count
      guard budget.bytes >= 0 else { throw CopyError.tooLarge }
      try writeFile(to, bytes, create: true)
      try copyAttributes(of: from, to: to)
    }
  }
  try copyAttributes(of: source, to: copy)
}

private func copyAttributes(of source: String, to copy: String) throws {
  var status = stat()
  try systemCall("stat", subject: source) { stat(source, &status) }
  try systemCall("chown", subject: copy) { chown(copy, status.st_uid, status.st_gid) }
  try systemCall("chmod", subject: copy) { chmod(copy, status.st_mode & 0o7777) }
}

private func readLink(_ path: String) throws -> String {
  var target = [CChar](repeating: 0, count: Int(PATH_MAX))
  let length = try systemCall("readlink", subject: path) { readlink(path, &target, target.count) }
  return String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Best effort, as deep as a copy can be.
private func removeTree(_ path: String, depth: Int = 0) {
  for entry in (try? directoryEntries(path)) ?? [] where depth < 17 {
    let child = "\(path)/" + String(decoding: entry.name, as: UTF8.self)
    if entry.isDirectory { removeTree(child, depth: depth + 1) } else { unlink(child) }
  }
  rmdir(path)
}
