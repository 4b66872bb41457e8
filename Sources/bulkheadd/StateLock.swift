import Common
import Foundation
import LinuxSystem

/// Keeps a second daemon off a state directory: flock(2) on its file `lock`, freed by the kernel when
/// the daemon ends, however it ends.
struct StateLock {
  private let descriptor: Int32

  /// Makes the directory if it is missing. Throws `failedPrecondition` where another daemon has it.
  init(directory: String) throws {
    let path = "\(directory)/lock"
    do { try makeDirectories(directory, mode: 0o711) } catch {
      throw BulkheadError(.failedPrecondition, "cannot make the state directory \(directory)", cause: error)
    }
    descriptor = try systemCall("open", subject: path) { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      throw BulkheadError(
        .failedPrecondition,
        "another bulkheadd uses the state directory \(directory): stop it, or give this one a daemon.state_dir of its own"
      )
    }
  }

  func unlock() { close(descriptor) }
}
