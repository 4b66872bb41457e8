import CGuest
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// A further process in a container, in a cgroup of its own below the container's.
final class ExecProcess: Sendable {
  struct Output {
    var stdout: AsyncDescriptor
    /// Nil: a terminal, whose output is all stdout.
    var stderr: AsyncDescriptor?
  }

  let birth: Birth
  let output: Output
  let input: ProcessInput?
  let terminal: ProcessTerminal?
  private let cgroup: Cgroup
  private let ended = Signal()
  private let code = Mutex<UInt32>(0)
  private let timedOut = Atomic(false)

  init(birth: Birth, cgroup: Cgroup, streams: ProcessStreams.Adopted<Output>) {
    self.birth = birth
    self.cgroup = cgroup
    output = streams.output
    input = streams.input
    terminal = streams.terminal
    birth.exit.whenEnded { [self] code in
      self.code.withLock { $0 = code }
      // What its children still write, if it left any, is nobody's any more.
      output.stdout.drain()
      output.stderr?.drain()
      ended.fire()
    }
  }

  func wait() async throws -> UInt32 {
    try await ended.wait()
    return code.withLock { $0 }
  }

  /// Kills, because the time is over.
  func timeOut() {
    timedOut.store(true, ordering: .relaxed)
    try? cgroup.kill()
  }
  var hasTimedOut: Bool { timedOut.load(ordering: .relaxed) }

  /// How long a process has for its last words once nobody listens any more.
  private static let lastWords = Duration.seconds(2)

  /// Whoever wanted the process has gone: it hears so as it would from a terminal whose line was cut, and if
  /// that does not end it and its children, they are killed. Returns when nothing of it lives.
  func hangUp() async {
    closeStreams()
    // Of its session's first process group: terminal or not, it leads one (setsid).
    Glibc.kill(-birth.pid, SIGHUP)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { _ = try? await self.wait() }
      group.addTask { try? await Task.sleep(for: Self.lastWords) }
      await group.next()
      group.cancelAll()
    }
    _ = try? await onDedicatedThread { [cgroup] in try cgroup.killAndWait() }
  }

  /// Lets go of everything. Children that the process left to the container stay, in their cgroup; false then.
  func close() -> Bool {
    closeStreams()
    return rmdir(cgroup.path) == 0 || errno == ENOENT
  }

  private func closeStreams() {
    input?.close()
    terminal?.close()
    output.stdout.close()
    output.stderr?.close()
  }
}
