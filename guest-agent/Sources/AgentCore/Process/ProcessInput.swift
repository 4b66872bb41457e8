import CLinux
import Glibc
import LinuxSystem
import Synchronization

/// The standard input of a process: a pipe's end, or a terminal's master. One writer at a time.
final class ProcessInput: Sendable {
  private struct State {
    /// -1: closed.
    var descriptor: Int32
    var waiter: CheckedContinuation<Void, Never>?
  }
  private let reactor: Reactor
  private let state: Mutex<State>

  /// Takes over a non-blocking descriptor.
  init(reactor: Reactor, _ descriptor: Int32) throws {
    self.reactor = reactor
    state = Mutex(State(descriptor: descriptor))
    try reactor.add(descriptor) { [self] in wake() }
  }

  /// Returns when all of `bytes` is in the pipe. Throws `SystemError`, EPIPE when nobody reads any more.
  func write(_ bytes: [UInt8]) async throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      try Task.checkCancellation()
      let written = state.withLock { state -> Int in
        guard state.descriptor >= 0 else { return -Int(EPIPE) }
        let result = rest.withUnsafeBytes { Glibc.write(state.descriptor, $0.baseAddress, $0.count) }
        return result < 0 ? -Int(errno) : result
      }
      switch -written {
      case ..<1: rest = rest.dropFirst(written)
      case Int(EINTR): continue
      case Int(EAGAIN): await writable()
      default: throw SystemError("write", Int32(-written))
      }
    }
  }

  /// The process reads end of file.
  func close() {
    let waiter = state.withLock { state in
      if state.descriptor >= 0 {
        reactor.remove(state.descriptor)
        Glibc.close(state.descriptor)
        state.descriptor = -1
      }
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  private func writable() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state in
          guard state.descriptor >= 0, !Task.isCancelled else { return false }
          state.waiter = continuation
          reactor.arm(state.descriptor, .write)
          return true
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      wake()
    }
  }

  private func wake() {
    let waiter = state.withLock { state in
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }
}
