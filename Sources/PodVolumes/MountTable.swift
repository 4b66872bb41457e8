import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// The mounts of this process's namespace, as /proc/self/mountinfo has them (proc(5)).
public struct MountTable: Sendable {
  public struct Entry: Sendable, Equatable {
    public var id: UInt64
    /// major:minor
    public var device: [UInt8]
    /// What of the file system is mounted.
    public var root: [UInt8]
    public var mountPoint: [UInt8]
    public var isShared: Bool
    public var isSlave: Bool
  }

  public var entries: [Entry]

  /// Lines that are not in the format are passed over.
  public init(parsing text: [UInt8]) {
    entries = text.split(separator: UInt8(ascii: "\n")).compactMap(Self.entry)
  }

  public static func current() throws(SystemError) -> MountTable {
    let path = "/proc/self/mountinfo"
    let file = try systemCall("open", subject: path) { open(path, O_RDONLY | O_CLOEXEC) }
    defer { close(file) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = try systemCall("read", subject: path) { read(file, &buffer, buffer.count) }
      if count == 0 { return MountTable(parsing: text) }
      text += buffer.prefix(count)
    }
  }

  public func entry(id: UInt64) -> Entry? { entries.last { $0.id == id } }

  /// Whether anything is mounted below `path`.
  public func hasMounts(below path: String) -> Bool {
    let prefix = path == "/" ? [slash] : Array(path.utf8) + [slash]
    return entries.contains { $0.mountPoint.count > prefix.count && $0.mountPoint.starts(with: prefix) }
  }

  private static func entry(_ line: ArraySlice<UInt8>) -> Entry? {
    let fields = line.split(separator: UInt8(ascii: " "))
    guard fields.count >= 7, let id = UInt64(String(decoding: fields[0], as: UTF8.self)) else { return nil }
    let optional = fields[6...].prefix { $0 != [UInt8(ascii: "-")] }
    return Entry(
      id: id, device: Array(fields[2]), root: unescaped(fields[3]), mountPoint: unescaped(fields[4]),
      isShared: optional.contains { $0.starts(with: Array("shared:".utf8)) },
      isSlave: optional.contains { $0.starts(with: Array("master:".utf8)) })
  }

  /// The kernel writes blanks and backslashes as `\` and three octal digits.
  private static func unescaped(_ field: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    var rest = field
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ (0x30...0x37).contains($0) }) {
        result.append(digits.reduce(0) { $0 &* 8 &+ ($1 & 7) })
        rest = rest.dropFirst(3)
      } else {
        result.append(byte)
      }
    }
    return result
  }
}

let slash = UInt8(ascii: "/")
