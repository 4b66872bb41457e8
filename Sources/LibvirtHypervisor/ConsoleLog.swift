import Common
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// What a guest wrote to its serial port. QEMU appends to the file for as long as the machine runs,
/// and the guest is not to be trusted with how much.
struct ConsoleLog: Sendable {
  let path: String

  /// Where the file is cut, keeping its newest part.
  static let limit = 1 << 20
  private static let kept = 128 << 10

  /// Makes the file, which only root reads: libvirt opens it for QEMU.
  func create() throws(SystemError) { try replaceFile(path, [], mode: 0o600) }

  /// The last lines, each made safe to show; none if there is no console.
  func lastLines(_ count: Int) -> [String] {
    guard let bytes = try? tail(16 << 10) else { return [] }
    return bytes.split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }).suffix(count)
      .map { printable(String(decoding: $0, as: UTF8.self), limit: 200) }
  }

  /// Cuts the file if it has grown past the limit. What QEMU appends in that moment is lost.
  func trim() throws(SystemError) {
    let file = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW)
    guard file >= 0 else { return }
    defer { close(file) }
    var status = stat()
    try systemCall("fstat", subject: path) { fstat(file, &status) }
    guard status.st_size > Self.limit else { return }
    let newest = try tail(Self.kept)
    try systemCall("ftruncate", subject: path) { ftruncate(file, 0) }
    try systemCall("write", subject: path) { write(file, newest, newest.count) }
  }

  private func tail(_ count: Int) throws(SystemError) -> [UInt8] {
    let file = try systemCall("open", subject: path) { open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) }
    defer { close(file) }
    let size = try systemCall("lseek", subject: path) { lseek(file, 0, SEEK_END) }
    var bytes = [UInt8](repeating: 0, count: min(count, Int(size)))
    let got = try systemCall("pread", subject: path) { pread(file, &bytes, bytes.count, size - off_t(bytes.count)) }
    return Array(bytes.prefix(got))
  }
}
