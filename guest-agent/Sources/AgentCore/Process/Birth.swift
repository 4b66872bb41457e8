import ContainerInit
import Glibc
import LinuxSystem
import Synchronization

/// A process that the zygote made for us, and how far it got.
final class Birth: Sendable {
  /// As this PID namespace numbers it.
  let pid: pid_t
  /// The process, whatever its number means by now.
  let pidfd: Int32
  /// Carries messages until the process becomes its program or ends.
  let socket: Int32
  let identity: Identity
  /// The terminal's master; not closed with this object.
  let terminal: Int32?
  let exit: ProcessExit

  /// The process did not get to where it was to get; `text` is for whoever asked.
  struct Failure: Error {
    var text: String
    /// What a shell would exit with: 126 and 127 are about the program, 128 about anything else.
    var code: UInt32
  }

  /// Reads answers until the process was forked and stands at its gate, or became its program where there is
  /// no gate. Blocks. Throws `Failure`. To be called between `birthBegins` and `birthEnds`.
  init(_ socket: consuming Descriptor, gate: Bool, reaper: Reaper) throws {
    let messages = MessageSocket(socket.number)
    let exit = ProcessExit()
    var pid: pid_t?
    var pidfd = Descriptor(owning: -1)
    var identity: Identity?
    var terminal: Int32?
    while pid == nil || identity == nil || !gate {
      guard let (message, descriptors) = try messages.receive(HelperMessage.self) else {
        if !gate, pid != nil { break }
        throw Failure(text: "the process ended before it could become the program", code: 128)
      }
      switch message.kind {
      case .forked:
        pid = message.pid
        pidfd = Descriptor(owning: descriptors.first ?? -1)
        reaper.watch(message.pid) { exit.deliver($0) }
      case .ready:
        identity = message.identity
        terminal = descriptors.first
      case .failed:
        if let terminal { close(terminal) }
        throw Failure(text: String(decoding: message.text, as: UTF8.self), code: message.code)
      }
    }
    self.pid = pid ?? -1
    self.pidfd = pidfd.release()
    self.socket = socket.release()
    self.identity = identity ?? Identity()
    self.terminal = terminal
    self.exit = exit
  }

  deinit {
    close(pidfd)
    close(socket)
  }
}

/// The end of a process, told to one listener, whichever comes first.
final class ProcessExit: Sendable {
  private enum State {
    case running
    case awaited(Reaper.Handler)
    case ended(UInt32)
    case told
  }
  private let state = Mutex(State.running)

  func deliver(_ code: UInt32) {
    let listener = state.withLock { state -> Reaper.Handler? in
      guard case .awaited(let listener) = state else {
        state = .ended(code)
        return nil
      }
      state = .told
      return listener
    }
    listener?(code)
  }

  /// Once.
  func whenEnded(_ listener: @escaping Reaper.Handler) {
    let code = state.withLock { state -> UInt32? in
      guard case .ended(let code) = state else {
        state = .awaited(listener)
        return nil
      }
      state = .told
      return code
    }
    if let code { listener(code) }
  }
}
