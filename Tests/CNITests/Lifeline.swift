import Foundation
import LinuxSystem
import Testing

/// A FIFO that a plugin's script, and with it all that the script starts, holds open for writing: it tells that the
/// plugin runs, and ends when the last of its processes has.
struct Lifeline: Sendable {
  private let path: String
  private let descriptor: Int32
  /// What the script begins with.
  let script: String

  init(_ scratch: Scratch) throws {
    let path = "\(scratch.path)/lifeline"
    self.path = path
    try systemCall("mkfifo") { mkfifo(path, 0o600) }
    descriptor = try systemCall("open") { open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) }
    script = "exec 9>\(path); echo >&9; "
  }

  func waitForStart() async throws { #expect(try await byte()) }

  func waitForEnd() async throws {
    while try await byte() {}
    close(descriptor)
  }

  /// Whether one came; false at the end.
  private func byte() async throws -> Bool {
    try await onDedicatedThread {
      var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      // None in a minute: a process that should have ended lives.
      guard try systemCall("poll", { poll(&entry, 1, 60_000) }) > 0 else { throw SystemError("poll", ETIMEDOUT) }
      var byte: UInt8 = 0
      return try systemCall("read") { read(descriptor, &byte, 1) } > 0
    }
  }
}
