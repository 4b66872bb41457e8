import CLinux
import Common
import LinuxSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A file's POSIX access control list (acl(5)): how the user of one machine gets to read a file that
/// stays root's, while nobody else does. In the form that the extended attribute
/// system.posix_acl_access has: a version, then entries of tag, permissions and id, in that order,
/// sorted by tag and id (linux/posix_acl_xattr.h).
struct AccessList: Equatable {
  struct Entry: Equatable {
    var tag: UInt16
    var permissions: UInt16
    var id: UInt32
  }

  var entries: [Entry]

  private enum Tag {
    static let owner: UInt16 = 0x01
    static let user: UInt16 = 0x02
    static let owningGroup: UInt16 = 0x04
    static let mask: UInt16 = 0x10
    static let other: UInt16 = 0x20
  }
  private static let version: UInt32 = 2
  private static let noID = UInt32.max
  static let read: UInt16 = 4
  static let write: UInt16 = 2

  /// What a file without a list has: its mode.
  init(mode: mode_t) {
    entries = [
      Entry(tag: Tag.owner, permissions: UInt16(mode >> 6 & 7), id: Self.noID),
      Entry(tag: Tag.owningGroup, permissions: UInt16(mode >> 3 & 7), id: Self.noID),
      Entry(tag: Tag.other, permissions: UInt16(mode & 7), id: Self.noID),
    ]
  }

  /// Nil for bytes that are no such list.
  init?(attribute: [UInt8]) {
    guard attribute.count >= 4, (attribute.count - 4).isMultiple(of: 8), Self.integer(attribute[0..<4]) == Self.version
    else { return nil }
    entries = stride(from: 4, to: attribute.count, by: 8).map { start in
      Entry(
        tag: UInt16(truncatingIfNeeded: Self.integer(attribute[start..<(start + 2)])),
        permissions: UInt16(truncatingIfNeeded: Self.integer(attribute[(start + 2)..<(start + 4)])),
        id: Self.integer(attribute[(start + 4)..<(start + 8)]))
    }
  }

  var attribute: [UInt8] {
    var out = Self.bytes(Self.version, 4)
    for entry in entries {
      out += Self.bytes(UInt32(entry.tag), 2) + Self.bytes(UInt32(entry.permissions), 2) + Self.bytes(entry.id, 4)
    }
    return out
  }

  /// Whether `user` is named.
  func names(user: UInt32) -> Bool { entries.contains { $0.tag == Tag.user && $0.id == user } }

  /// Lets `user` read, or do what `permissions` say, and nobody else any more than before.
  mutating func allow(user: UInt32, _ permissions: UInt16 = AccessList.read) {
    removeEntry(user: user)
    entries.append(Entry(tag: Tag.user, permissions: permissions, id: user))
    updateMask()
  }

  mutating func remove(user: UInt32) {
    removeEntry(user: user)
    updateMask()
  }

  private mutating func removeEntry(user: UInt32) { entries.removeAll { $0.tag == Tag.user && $0.id == user } }

  /// The mask bounds named users and the owning group, so it must be there with the former; without
  /// them it goes, and what it masked stays masked.
  private mutating func updateMask() {
    let old = entries.first { $0.tag == Tag.mask }
    entries.removeAll { $0.tag == Tag.mask }
    if let old, let group = entries.firstIndex(where: { $0.tag == Tag.owningGroup }) {
      entries[group].permissions &= old.permissions
    }
    let masked = entries.filter { $0.tag == Tag.user || $0.tag == Tag.owningGroup }
    if masked.contains(where: { $0.tag == Tag.user }) {
      let permissions = masked.reduce(0) { $0 | $1.permissions }
      entries.append(Entry(tag: Tag.mask, permissions: permissions, id: Self.noID))
    }
    entries.sort { ($0.tag, $0.id) < ($1.tag, $1.id) }
  }

  private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func bytes(_ value: UInt32, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}

/// Grants and revokes reading of files that several machines share.
enum FileAccess {
  private static let attribute = "system.posix_acl_access"
  // Reading a list, changing it and writing it back is not one step for the kernel, and this process
  // is the only one that does it to these files.
  private static let changing = Mutex(())

  /// Lets `user` read the file. Idempotent.
  static func grantReading(of path: String, to user: UInt32) throws(SystemError) {
    try change(path) { $0.allow(user: user) }
  }

  /// Lets `user` read and write the file, a device. Idempotent.
  static func grantWriting(of path: String, to user: UInt32) throws(SystemError) {
    try change(path) { $0.allow(user: user, AccessList.read | AccessList.write) }
  }

  /// Takes it away again. A file that has gone, or that the user was not named in, is no failure.
  static func revoke(_ path: String, from user: UInt32) throws(SystemError) {
    do {
      try change(path) { $0.remove(user: user) }
    } catch  where error.number == ENOENT {}
  }

  static func list(of path: String) throws(SystemError) -> AccessList {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    let count = bh_getxattr(path, attribute, &buffer, buffer.count)
    if count >= 0 {
      guard let list = AccessList(attribute: Array(buffer.prefix(count))) else {
        throw SystemError("getxattr", EBADMSG, subject: path)
      }
      return list
    }
    guard errno == ENODATA else { throw SystemError("getxattr", errno, subject: path) }
    var status = stat()
    try systemCall("stat", subject: path) { stat(path, &status) }
    return AccessList(mode: status.st_mode)
  }

  private static func change(_ path: String, _ body: (inout AccessList) -> Void) throws(SystemError) {
    try changing.withLock { (_) throws(SystemError) in
      let old = try list(of: path)
      var new = old
      body(&new)
      if new == old { return }
      let bytes = new.attribute
      try systemCall("setxattr", subject: path) { bh_setxattr(path, attribute, bytes, bytes.count) }
    }
  }
}
