import Common
import Hypervisor
import Synchronization

/// How a machine comes to its end, told from two sides: the kernel says that QEMU's process has gone,
/// libvirt says why. They come in either order, and libvirt's may never come.
struct MachineLifecycle: Equatable {
  /// Running, with what is known of an end to come; or over.
  enum State: Equatable {
    case running(reason: MachineExit?)
    case processGone
    case stopped(MachineExit)
  }

  private(set) var state = State.running(reason: nil)

  enum Event: Equatable {
    /// We are about to end it: whatever else is said of the end, this is why.
    case destroyRequested
    case stopReported(LibvirtConnection.StopReason)
    case processEnded
    /// virtiofsd has gone, and we are about to end the machine.
    case shareServerEnded
    /// Nobody said why in time.
    case reasonOverdue
  }

  mutating func handle(_ event: Event) {
    switch (state, event) {
    case (.running, .destroyRequested): state = .running(reason: .destroyed)
    case (.running(nil), .shareServerEnded): state = .running(reason: .shareServerDied)
    case (.running(nil), .stopReported(let reason)): state = .running(reason: MachineExit(reason))
    case (.running(nil), .processEnded): state = .processGone
    case (.running(let reason?), .processEnded): state = .stopped(reason)
    case (.processGone, .stopReported(let reason)): state = .stopped(MachineExit(reason))
    case (.processGone, .destroyRequested), (.processGone, .reasonOverdue): state = .stopped(.processDied)
    case (.running, .stopReported), (.running, .reasonOverdue), (.running, .shareServerEnded),
      (.processGone, .processEnded), (.processGone, .shareServerEnded), (.stopped, _):
      break
    }
  }
}

extension MachineExit {
  init(_ reason: LibvirtConnection.StopReason) {
    switch reason {
    case .shutdown: self = .guestShutdown
    case .destroyed: self = .destroyed
    case .panicked: self = .guestPanicked
    case .failed: self = .processDied
    }
  }
}

/// A machine's lifecycle and those who wait for its end.
final class MachineExitSignal: Sendable {
  private let lifecycle = Mutex(MachineLifecycle())
  private let end = Latch()

  func handle(_ event: MachineLifecycle.Event) {
    let isStopped = lifecycle.withLock { lifecycle in
      lifecycle.handle(event)
      return if case .stopped = lifecycle.state { true } else { false }
    }
    if isStopped { end.open() }
  }

  /// Nil while it runs.
  var exit: MachineExit? {
    lifecycle.withLock { if case .stopped(let exit) = $0.state { exit } else { nil } }
  }

  /// Nil if the calling task was cancelled before.
  func wait() async -> MachineExit? {
    await end.wait()
    return exit
  }
}
