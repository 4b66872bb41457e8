import CLinux
import ContainerInit
import Glibc
import LinuxSystem

/// Replaces the content of an existing file (of /proc, /sys), or of a new one with `create`. Blocks.
func writeFile(_ path: String, _ bytes: [UInt8], create: Bool = false) throws {
  let flags = O_WRONLY | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0)
  let file = Descriptor(owning: try systemCall("open", subject: path) { open(path, flags, 0o644) })
  var rest = bytes[...]
  repeat {
    let number = file.number
    let count = try systemCall("write", subject: path) {
      rest.withUnsafeBytes { write(number, $0.baseAddress, $0.count) }
    }
    rest = rest.dropFirst(count)
  } while !rest.isEmpty
}

/// At most `limit` bytes of a file. Blocks.
func readFile(_ path: String, limit: Int) throws -> [UInt8] {
  let file = Descriptor(owning: try systemCall("open", subject: path) { open(path, O_RDONLY | O_CLOEXEC) })
  let number = file.number
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: min(limit, 16 << 10))
  while bytes.count < limit {
    let count = try systemCall("read", subject: path) { read(number, &buffer, min(buffer.count, limit - bytes.count)) }
    if count == 0 { break }
    bytes += buffer.prefix(count)
  }
  return bytes
}

/// Makes a directory and its parents. What is there is fine.
func makeDirectories(_ path: String) throws {
  var current = ""
  for component in path.split(separator: "/") {
    current += "/\(component)"
    if mkdir(current, 0o755) != 0, errno != EEXIST { throw SystemError("mkdir", errno, subject: current) }
  }
}

struct DirectoryEntry {
  var name: [UInt8]
  var isDirectory: Bool
}

/// What is in a directory, but for "." and ".."; nothing if there is no such directory.
func directoryEntries(_ path: String) throws -> [DirectoryEntry] {
  guard let stream = opendir(path) else {
    if errno == ENOENT { return [] }
    throw SystemError("opendir", errno, subject: path)
  }
  defer { closedir(stream) }
  var entries: [DirectoryEntry] = []
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
    if name == Array(".".utf8) || name == Array("..".utf8) { continue }
    entries.append(DirectoryEntry(name: name, isDirectory: Int32(entry.pointee.d_type) == Int32(DT_DIR)))
  }
  return entries
}
