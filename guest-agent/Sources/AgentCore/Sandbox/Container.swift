import CGuest
import CLinux
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// One container from the gate before its program to its end.
final class Container: Sendable {
  struct Exit: Sendable {
    var code: UInt32
    var oomKilled = false
    /// Nanoseconds since 1970.
    var finished: Int64
    /// Why it could not be started, else empty.
    var startError = ""
  }

  enum State: Sendable {
    /// The process stands at its gate.
    case created
    /// The gate was opened; the process may have ended since, with the code.
    case starting(ended: UInt32?)
    case running
    /// The first process has ended, the rest is being killed.
    case ending
    case exited(Exit)
  }

  private struct Facts {
    var state = State.created
    var started: Int64 = 0
    var startError = ""
    var execs = 0
    /// Cgroups of further processes whose children live on.
    var keptExecs: [String] = []
  }

  let id: String
  let job: ContainerJob
  let cgroup: Cgroup
  /// What it writes counts against this project of the scratch disk's.
  let project: UInt32
  let birth: Birth
  let output: ProcessOutput
  /// Nil: standard input is /dev/null.
  let input: ProcessInput?
  /// Nil: it has none.
  let terminal: ProcessTerminal?
  /// The input ends with the first that wrote it.
  let isInputOnce: Bool
  private let facts = Mutex(Facts())
  private let ended = Signal()

  init(
    id: String, job: ContainerJob, cgroup: Cgroup, project: UInt32, birth: Birth,
    streams: ProcessStreams.Adopted<ProcessOutput>, isInputOnce: Bool
  ) {
    self.id = id
    self.job = job
    self.cgroup = cgroup
    self.project = project
    self.birth = birth
    output = streams.output
    input = streams.input
    terminal = streams.terminal
    self.isInputOnce = isInputOnce
    birth.exit.whenEnded { [self] code in processEnded(code) }
  }

  var state: State { facts.withLock { $0.state } }
  /// Nanoseconds since 1970; 0: not started.
  var started: Int64 { facts.withLock { $0.started } }

  /// A name for the cgroup of a further process.
  func nextExecName() -> String {
    facts.withLock { facts in
      facts.execs += 1
      return "exec-\(facts.execs)"
    }
  }

  /// The cgroup of a further process can't go yet: what the process left behind lives there.
  func keepExec(_ name: String) { facts.withLock { $0.keptExecs.append(name) } }

  /// Removes those of the kept cgroups that are empty by now. Blocks.
  func sweepExecs() {
    let kept = facts.withLock { facts in
      defer { facts.keptExecs = [] }
      return facts.keptExecs
    }
    let occupied = kept.filter { rmdir(cgroup.child($0).path) != 0 && errno == EBUSY }
    facts.withLock { $0.keptExecs += occupied }
  }

  /// Opens the gate and waits until the program runs. Blocks. Throws FAILED_PRECONDITION if it can't; the
  /// container counts as exited then.
  func start() throws {
    try facts.withLock { facts in
      guard case .created = facts.state else {
        throw RPCError(code: .failedPrecondition, message: "container \(id) was started already, or has ended")
      }
      facts.state = .starting(ended: nil)
    }
    var startError = ""
    do {
      let socket = MessageSocket(birth.socket)
      try socket.send(HelperMessage(.ready))
      if let (message, _) = try socket.receive(HelperMessage.self) {
        startError = String(decoding: message.text, as: UTF8.self)
      }
    } catch {
      startError = "the container's process ended before its start: \(error)"
    }
    let code = facts.withLock { facts -> UInt32? in
      facts.startError = startError
      if startError.isEmpty { facts.started = now() }
      guard case .starting(let code?) = facts.state else {
        facts.state = .running
        return nil
      }
      facts.state = .ending
      return code
    }
    if let code { finish(code) }
    if !startError.isEmpty { throw RPCError(code: .failedPrecondition, message: startError) }
  }

  /// Nothing to do for a process that has ended is success.
  func signal(_ number: UInt32, all: Bool) throws {
    guard (1...64).contains(number), !all || number == UInt32(SIGKILL) else {
      throw RPCError(code: .invalidArgument, message: "signal \(number) can't be sent\(all ? " to all" : "")")
    }
    if case .exited = state { return }
    if all { return try cgroup.kill() }
    if bh_pidfd_send_signal(birth.pidfd, Int32(number)) != 0, errno != ESRCH {
      throw SystemError("pidfd_send_signal", errno)
    }
  }

  /// Answers when the first process has ended and nothing of the cgroup lives. Throws `CancellationError`.
  func wait() async throws -> Exit {
    while true {
      if case .exited(let exit) = state { return exit }
      try await ended.wait()
    }
  }

  private func processEnded(_ code: UInt32) {
    let finishes = facts.withLock { facts in
      if case .starting = facts.state {
        facts.state = .starting(ended: code)
        return false
      }
      facts.state = .ending
      return true
    }
    if finishes { finish(code) }
  }

  /// Ends what the first process left behind. The task is the container's own: `wait` awaits its result.
  private func finish(_ code: UInt32) {
    Task {
      let oomKilled = try? await onDedicatedThread { [cgroup] in
        _ = try cgroup.killAndWait()
        return (try? cgroup.value("memory.events", "oom_kill")) ?? 0
      }
      output.drain()
      input?.close()
      terminal?.close()
      facts.withLock { facts in
        let startError = facts.startError
        facts.state = .exited(
          Exit(
            code: startError.isEmpty ? code : 128, oomKilled: (oomKilled ?? 0) > 0, finished: now(),
            startError: startError))
      }
      ended.fire()
    }
  }
}

/// Nanoseconds since 1970.
func now() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
