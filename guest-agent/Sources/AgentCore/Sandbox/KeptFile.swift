import Glibc

/// A file that is looked at again and again: opened when that is first done, and kept open. Opening and closing are
/// most of what reading a short file costs, and after a file was closed the kernel ticks until a grace period is over,
/// which in an emulated guest costs more than everything else that stats need. All calls block.
final class KeptFile {
  private let path: String
  private let flags: Int32
  private var known: Int32 = -1

  init(_ path: String, flags: Int32 = 0) { (self.path, self.flags) = (path, O_RDONLY | O_CLOEXEC | flags) }
  deinit { forget() }

  /// -1 if it can't be opened now.
  var descriptor: Int32 {
    if known < 0 { known = open(path, flags) }
    return known
  }

  /// How much of the file, from `offset` on, is in `buffer` now: 0 for one that can't be read.
  func read(_ buffer: inout [UInt8], from offset: Int = 0) -> Int {
    if known >= 0 {
      let count = pread(known, &buffer, buffer.count, offset)
      if count >= 0 { return count }
      // It was of a former cgroup with this name.
      forget()
    }
    return descriptor < 0 ? 0 : max(pread(known, &buffer, buffer.count, offset), 0)
  }

  private func forget() {
    if known >= 0 { close(known) }
    known = -1
  }
}
