import CNI
import Common
import FoundationEssentials
import Glibc
import LinuxSystem

/// A pod's attachments on disk, a file each, so that whichever daemon is there can undo them. What was saved
/// has reached the disk when `save` returns. Blocks.
struct AttachmentFiles: Sendable {
  let directory: String

  func save(_ attachment: Attachment) throws {
    try makeDirectories(directory, mode: 0o700)
    let path = "\(directory)/\(attachment.request.interface).json"
    let bytes = Array(try JSONEncoder().encode(attachment))
    let file = try systemCall("open", subject: path) {
      open("\(path).new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    }
    do {
      defer { close(file) }
      var written = 0
      while written < bytes.count {
        let rest = Array(bytes.dropFirst(written))
        written += try systemCall("write", subject: path) { write(file, rest, rest.count) }
      }
      try systemCall("fsync", subject: path) { fsync(file) }
    }
    try systemCall("rename", subject: path) { rename("\(path).new", path) }
    try syncDirectory()
  }

  private func syncDirectory() throws(SystemError) {
    let descriptor = try systemCall("open", subject: directory) { open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    defer { close(descriptor) }
    try systemCall("fsync", subject: directory) { fsync(descriptor) }
  }

  /// In the order in which they were made. Throws `dataLoss` for a file that can't be understood.
  func load() throws -> [Attachment] {
    try names().filter { $0.hasSuffix(".json") }.map { name in
      do {
        return try JSONDecoder().decode(Attachment.self, from: Data(contentsOf: URL(filePath: "\(directory)/\(name)")))
      } catch {
        throw BulkheadError(
          .dataLoss,
          "\(directory)/\(name) can't be understood: release that attachment by hand (CNI DEL) and delete the file",
          cause: error)
      }
    }
  }

  func forget(_ attachment: Attachment) throws(SystemError) {
    let path = "\(directory)/\(attachment.request.interface).json"
    guard unlink(path) == 0 || errno == ENOENT else { throw SystemError("unlink", errno, subject: path) }
  }

  /// Removes the directory, and half-written files in it.
  func remove() throws {
    for name in try names() where name.hasSuffix(".new") { unlink("\(directory)/\(name)") }
    guard rmdir(directory) == 0 || errno == ENOENT else { throw SystemError("rmdir", errno, subject: directory) }
  }

  private func names() throws -> [String] {
    guard let stream = opendir(directory) else {
      guard errno == ENOENT else { throw SystemError("opendir", errno, subject: directory) }
      return []
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }
}
