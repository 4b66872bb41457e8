import CGuest
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// A further process in a container, in a cgroup of its own below the container's.
final class ExecProcess: Sendable {
  let birth: Birth
  let output: ProcessOutput
  let input: ProcessInput?
  let terminal: Int32?
  private let cgroup: Cgroup
  private let ended = Signal()
  private let code = Mutex<UInt32>(0)
  private let timedOut = Atomic(false)

  init(birth: Birth, cgroup: Cgroup, output: ProcessOutput, input: ProcessInput?) throws {
    self.birth = birth
    self.cgroup = cgroup
    self.output = output
    self.input = input
    terminal = try birth.terminal.map { master in try systemCall("dup") { fcntl(master, F_DUPFD_CLOEXEC, 3) } }
    birth.exit.whenEnded { [self] code in
      self.code.withLock { $0 = code }
      // What its children still write, if it left any, is nobody's any more.
      output.drain()
      ended.fire()
    }
  }

  deinit { if let terminal { Glibc.close(terminal) } }

  func wait() async throws -> UInt32 {
    try await ended.wait()
    return code.withLock { $0 }
  }

  func resize(columns: UInt32, rows: UInt32) {
    guard let terminal else { return }
    guest_terminal_resize(terminal, UInt16(clamping: columns), UInt16(clamping: rows))
  }

  /// Kills, because the time is over.
  func timeOut() {
    timedOut.store(true, ordering: .relaxed)
    kill()
  }
  var hasTimedOut: Bool { timedOut.load(ordering: .relaxed) }

  /// Kills the process and its children.
  func kill() { try? cgroup.kill() }

  /// Lets go of everything. Children that the process left to the container stay, in their cgroup.
  func close() {
    input?.close()
    output.close()
    rmdir(cgroup.path)
  }
}
