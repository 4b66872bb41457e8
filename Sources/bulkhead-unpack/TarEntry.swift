import CArchive
import Glibc
import LayerFormat

/// An entry's header as libarchive read it, with what no inode can have refused.
struct TarEntry {
  fileprivate let entry: OpaquePointer

  init(entry: OpaquePointer) { self.entry = entry }

  var name: [UInt8] { bytes(archive_entry_pathname(entry)) ?? [] }
  /// Of a hard link; nil for anything else.
  var hardLinkTarget: [UInt8]? { bytes(archive_entry_hardlink(entry)) }

  enum Kind { case file(size: UInt64), other(LayerEntry.Inode) }

  func kind(_ path: LayerPath) throws(LayerFormatError) -> Kind {
    switch archive_entry_filetype(entry) {
    case S_IFREG:
      guard let size = UInt64(exactly: archive_entry_size(entry)) else {
        throw LayerFormatError("\(path) has a negative size")
      }
      return .file(size: size)
    case S_IFDIR: return .other(.directory)
    case S_IFIFO: return .other(.fifo)
    case S_IFLNK: return .other(try symlink(path))
    case S_IFCHR:
      let (major, minor) = try device(path)
      return .other(.characterDevice(major: major, minor: minor))
    case S_IFBLK:
      let (major, minor) = try device(path)
      return .other(.blockDevice(major: major, minor: minor))
    default: throw LayerFormatError("\(path) is of a kind that no layer may have")
    }
  }

  private func symlink(_ path: LayerPath) throws(LayerFormatError) -> LayerEntry.Inode {
    guard let target = bytes(archive_entry_symlink(entry)), !target.isEmpty else {
      throw LayerFormatError("\(path) is a symbolic link to nothing")
    }
    guard target.count <= FormatLimits.symlinkTarget else {
      throw LayerFormatError("\(path) is a symbolic link longer than \(FormatLimits.symlinkTarget) bytes")
    }
    return .symlink(target: target)
  }

  private func device(_ path: LayerPath) throws(LayerFormatError) -> (UInt32, UInt32) {
    guard let major = UInt32(exactly: archive_entry_rdevmajor(entry)),
      let minor = UInt32(exactly: archive_entry_rdevminor(entry)),
      major <= FormatLimits.deviceMajor, minor <= FormatLimits.deviceMinor
    else { throw LayerFormatError("\(path) has a device number that Linux has not") }
    return (major, minor)
  }

  func attributes(_ path: LayerPath) throws(LayerFormatError) -> InodeAttributes {
    guard let uid = UInt32(exactly: archive_entry_uid(entry)), let gid = UInt32(exactly: archive_entry_gid(entry)),
      uid != .max, gid != .max
    else { throw LayerFormatError("\(path) belongs to a user or group that Linux has not") }
    var seconds = Int64(archive_entry_mtime(entry))
    var nanoseconds = Int64(archive_entry_mtime_nsec(entry))
    if nanoseconds < 0 {
      seconds &-= 1
      nanoseconds += 1_000_000_000
    }
    // Linux has no permissions for links, and shows all of them.
    let isLink = archive_entry_filetype(entry) == S_IFLNK
    return InodeAttributes(
      mode: isLink ? 0o777 : UInt16(archive_entry_perm(entry) & 0o7777), uid: uid, gid: gid, modified: seconds,
      modifiedNanoseconds: UInt32(clamping: min(nanoseconds, 999_999_999)), xattrs: try xattrs(path))
  }

  private func xattrs(_ path: LayerPath) throws(LayerFormatError) -> [ExtendedAttribute] {
    archive_entry_xattr_reset(entry)
    var found: [ExtendedAttribute] = []
    var total = 0
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var count = 0
    while archive_entry_xattr_next(entry, &name, &value, &count) == ARCHIVE_OK {
      let name = bytes(name) ?? []
      total += name.count + min(count, FormatLimits.xattrTotal)
      guard (1...FormatLimits.xattrName).contains(name.count), count <= FormatLimits.xattrValue,
        total <= FormatLimits.xattrTotal
      else { throw LayerFormatError("\(path) has extended attributes larger than Linux takes") }
      found.append(ExtendedAttribute(name: name, value: Array(UnsafeRawBufferPointer(start: value, count: count))))
    }
    return sortedOnce(found)
  }

  /// By name; of several with one name the last in the archive counts. libarchive lists the last first.
  private func sortedOnce(_ xattrs: [ExtendedAttribute]) -> [ExtendedAttribute] {
    var byName: [[UInt8]: [UInt8]] = [:]
    for xattr in xattrs where byName[xattr.name] == nil { byName[xattr.name] = xattr.value }
    return byName.map { ExtendedAttribute(name: $0.key, value: $0.value) }
      .sorted { $0.name.lexicographicallyPrecedes($1.name) }
  }

  private func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8]? {
    guard let text else { return nil }
    return Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
  }
}
