import CGuest
import CLinux
import Glibc
import Synchronization

/// Reaps every child of this process, the first of its PID namespace: the containers' processes, which are
/// watched, and orphans, which are not.
///
/// A child may end before anyone had the time to watch it, so births are announced: as long as one is under
/// way, the exits of strangers are kept for whoever turns up to watch them.
final class Reaper: Sendable {
  /// Called with the exit code, 0 to 255 or 128 plus the signal. On the reactor's thread, or on that of
  /// `watch`.
  typealias Handler = @Sendable (_ code: UInt32) -> Void

  private struct State {
    var watched: [pid_t: Handler] = [:]
    var births = 0
    var strangers: [pid_t: UInt32] = [:]
  }
  private let state = Mutex(State())

  func birthBegins() { state.withLock { $0.births += 1 } }

  func birthEnds() {
    state.withLock { state in
      state.births -= 1
      if state.births == 0 { state.strangers.removeAll() }
    }
  }

  /// Only between `birthBegins` and `birthEnds`.
  func watch(_ pid: pid_t, _ handler: @escaping Handler) {
    let ended: UInt32? = state.withLock { state in
      if let code = state.strangers.removeValue(forKey: pid) { return code }
      state.watched[pid] = handler
      return nil
    }
    if let ended { handler(ended) }
  }

  /// Takes all exits that there are; called after each SIGCHLD.
  func reap() {
    var pid: pid_t = 0
    var code: UInt32 = 0
    while guest_wait_any(&pid, &code, 0) == 0, pid != 0 {
      let handler = state.withLock { state -> Handler? in
        if let handler = state.watched.removeValue(forKey: pid) { return handler }
        if state.births > 0 { state.strangers[pid] = code }
        return nil
      }
      handler?(code)
    }
  }
}
