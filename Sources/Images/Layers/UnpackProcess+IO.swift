import Common
import Glibc
import LayerFormat
import LinuxSystem

/// Talking with the process, each step of which is bounded in time: it may have been taken over by a
/// layer, and do nothing for ever.
extension UnpackProcess {
  struct Ending: Sendable {
    /// As waitpid has it; nil if another part of the daemon reaped the process.
    var status: Int32?
    var output: [UInt8]
    var errors: [UInt8]
  }

  struct Stalled: Error {}

  /// False if the process reads no more. Throws `Stalled` if it has not taken all in `patience`.
  func write(_ bytes: [UInt8], patience: Duration) throws -> Bool {
    let deadline = ContinuousClock.now + patience
    var written = 0
    while written < bytes.count {
      let sent = bytes.withUnsafeBytes { bytes in
        send(
          input.descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written,
          Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      }
      if sent >= 0 {
        written += sent
        continue
      }
      switch errno {
      case EINTR: continue
      case EAGAIN: try wait(input, Int16(POLLOUT), until: deadline)
      case EPIPE, ECONNRESET: return false
      case let number: throw SystemError("send", number, subject: "bulkhead-unpack")
      }
    }
    return true
  }

  /// All was written: the process reads the end of its input.
  func endInput() { shutdown(input.descriptor, Int32(SHUT_WR)) }

  /// Reads what the process says until it ends, and reaps it. After a throw it is not reaped, and may
  /// run still: it took longer than `patience`, or said more than anyone wants to read.
  func end(patience: Duration) throws -> Ending {
    let deadline = ContinuousClock.now + patience
    let said = try readAll(output, until: deadline)
    let complaints = try readAll(errors, until: deadline)
    try wait(pidfd, Int16(POLLIN), until: deadline)
    return Ending(status: reap(), output: said, errors: complaints)
  }

  /// Waits for a process that is ending; blocks until it has.
  func reap() -> Int32? {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) == -1 {
      if errno != EINTR { return nil }
    }
    return status
  }

  private func readAll(_ file: OpenFile, until deadline: ContinuousClock.Instant) throws -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while all.count < 16 << 10 {
      try wait(file, Int16(POLLIN), until: deadline)
      let count = try systemCall("read") { read(file.descriptor, &buffer, buffer.count) }
      if count == 0 { return all }
      all += buffer.prefix(count)
    }
    throw Stalled()
  }

  private func wait(_ file: OpenFile, _ events: Int16, until deadline: ContinuousClock.Instant) throws {
    var polled = pollfd(fd: file.descriptor, events: events, revents: 0)
    let milliseconds = (deadline - ContinuousClock.now) / .milliseconds(1)
    if try systemCall("poll", { poll(&polled, 1, Int32(min(max(milliseconds, 0), 1e9))) }) == 0 { throw Stalled() }
  }
}
