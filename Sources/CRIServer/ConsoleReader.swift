import Common
import Foundation
import LinuxSystem

/// Reads a console log that a VM may still be writing.
struct ConsoleReader {
  private let descriptor: Int32

  /// Starts `tail` bytes before the end, or at the beginning where that is 0.
  init(path: String, tail: UInt64) throws {
    descriptor = try systemCall("open", subject: path) { open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) }
    guard tail > 0 else { return }
    let end = lseek(descriptor, 0, SEEK_END)
    lseek(descriptor, max(end - off_t(clamping: tail), 0), SEEK_SET)
  }

  func close() { _ = Foundation.close(descriptor) }

  /// The next bytes, at most 64 KiB; empty where there are none yet.
  mutating func read() throws -> Data {
    var buffer = Data(count: 64 << 10)
    let count = try buffer.withUnsafeMutableBytes { bytes in
      try systemCall("read") { Foundation.read(descriptor, bytes.baseAddress, bytes.count) }
    }
    return buffer.prefix(count)
  }
}
