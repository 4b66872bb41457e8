import CLinux
import Glibc
import LinuxSystem

/// What the user types or pipes in, read piece by piece. The descriptor is shared with the shell, so it stays
/// blocking, and is read on a thread that a cancelled reader can call back.
final class StandardInput: Sendable {
  private let descriptor: Int32
  private let bell: Int32

  init(_ descriptor: Int32) throws {
    self.descriptor = descriptor
    bell = try systemCall("eventfd") { eventfd(0, Int32(EFD_CLOEXEC)) }
  }

  deinit { close(bell) }

  /// At least one byte; nil at the end, or when the calling task is cancelled.
  func read() async throws -> [UInt8]? {
    try await withTaskCancellationHandler {
      try await onDedicatedThread { [self] in try wait() ? bytes() : nil }
    } onCancel: {
      eventfd_write(bell, 1)
    }
  }

  private func wait() throws -> Bool {
    try withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 2) { entries in
      entries.initializeElement(at: 0, to: pollfd(fd: bell, events: Int16(POLLIN), revents: 0))
      entries.initializeElement(at: 1, to: pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
      try systemCall("poll") { poll(entries.baseAddress, 2, -1) }
      return entries[0].revents == 0
    }
  }

  private func bytes() throws -> [UInt8]? {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 1)
    defer { buffer.deallocate() }
    var count = 0
    repeat { count = Glibc.read(descriptor, buffer.baseAddress, buffer.count) } while count < 0 && errno == EINTR
    // A terminal that hung up is at its end.
    if count < 0, errno != EIO { throw SystemError("read", errno) }
    return count > 0 ? Array(buffer[..<count]) : nil
  }
}
