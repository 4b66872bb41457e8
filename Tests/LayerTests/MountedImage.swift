import Foundation
import Glibc
import Images

/// An image as the kernel mounts it, read-only, until the end of the test.
final class MountedImage {
  let root: String

  /// `extents` are put into one file for it: the host's loop device has no disk of several.
  init(_ extents: [ImageExtent], in scratch: Scratch) throws {
    let disk = scratch.path + "/disk-\(UUID().uuidString)"
    try flatten(extents, to: disk)
    root = try scratch.directory("mount-\(UUID().uuidString)")
    try run("mount", "-t", "erofs", "-o", "loop,ro", disk, root)
  }

  deinit { _ = try? run("umount", root) }
}

func flatten(_ extents: [ImageExtent], to disk: String) throws {
  try run(["sh", "-c", "out=$1; shift; cat \"$@\" > $out", "sh", disk] + extents.map(\.path))
}

/// Every entry below `root` by its path: all that a program could see of it but inode numbers.
func tree(_ root: String) throws -> [String: String] {
  var found: [String: String] = [:]
  var firstNames: [ino_t: String] = [:]
  var pending = [""]
  while let path = pending.popLast() {
    let full = root + path
    var status = stat()
    guard lstat(full, &status) == 0 else { throw Failure("lstat \(full): \(String(cString: strerror(errno)))") }
    let kind = status.st_mode & S_IFMT
    if kind == S_IFDIR {
      for name in try FileManager.default.contentsOfDirectory(atPath: full) { pending.append("\(path)/\(name)") }
    }
    var text = "mode \(String(status.st_mode, radix: 8)) owner \(status.st_uid):\(status.st_gid)"
    text += " mtime \(status.st_mtim.tv_sec)"
    if kind != S_IFDIR { text += " size \(status.st_size) links \(status.st_nlink)" }
    if kind == S_IFCHR || kind == S_IFBLK { text += " device \(status.st_rdev)" }
    if kind == S_IFLNK { text += " to \(try FileManager.default.destinationOfSymbolicLink(atPath: full))" }
    if kind == S_IFREG { text += " data \(try Data(contentsOf: URL(fileURLWithPath: full)).hashValue)" }
    found[path.isEmpty ? "/" : path] = text + " xattrs \(xattrs(full))"
    if kind != S_IFDIR, status.st_nlink > 1 {
      // Names of one inode, by the first of them in order.
      firstNames[status.st_ino] = min(firstNames[status.st_ino] ?? path, path)
      found[path, default: ""] += " inode \(status.st_ino)"
    }
  }
  for (inode, name) in firstNames {
    for (path, text) in found where text.hasSuffix(" inode \(inode)") {
      found[path] = text.replacingOccurrences(of: " inode \(inode)", with: " same as \(name)")
    }
  }
  return found
}

private typealias ListAttributes = @convention(c) (UnsafePointer<CChar>, UnsafeMutableRawPointer, Int) -> Int
private typealias GetAttribute =
  @convention(c) (UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafeMutableRawPointer, Int) -> Int

/// Of the entry itself, not of what a link leads to; Swift's Glibc module has no sys/xattr.h.
private func xattrs(_ path: String) -> [String] {
  let list = unsafeBitCast(dlsym(nil, "llistxattr"), to: ListAttributes.self)
  let get = unsafeBitCast(dlsym(nil, "lgetxattr"), to: GetAttribute.self)
  var names = [UInt8](repeating: 0, count: 65536)
  let count = list(path, &names, names.count)
  guard count > 0 else { return [] }
  return names.prefix(count).split(separator: 0).map { name in
    let name = String(decoding: name, as: UTF8.self)
    var value = [UInt8](repeating: 0, count: 65536)
    let length = get(path, name, &value, value.count)
    return "\(name)=\(value.prefix(max(length, 0)))"
  }.sorted()
}
