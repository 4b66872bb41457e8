import CLinux
import Common
import LinuxSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Tells within moments when a process ends, be it a child of ours or not, and reaps it if it is: a
/// machine's processes become children of the daemon, which is their subreaper, and libvirt waits for
/// them to go. One thread for all of them.
final class ProcessWatcher: Sendable {
  private struct Watched {
    var pid: Int32
    var onEnd: @Sendable () -> Void
  }

  private let epoll: Int32
  private let watched = Mutex<[Int32: Watched]>([:])

  init() throws(SystemError) {
    epoll = try systemCall("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
    // Never released: the thread runs as long as the process.
    pthread_detach(try startThread { self.run() })
  }

  /// Calls `onEnd` once when the process has ended and is reaped, on the watcher's thread: it must not
  /// block. A process that has gone already is told of at once, on the caller's.
  func watch(_ pid: Int32, onEnd: @escaping @Sendable () -> Void) throws(SystemError) {
    let descriptor = bh_pidfd_open(pid)
    if descriptor < 0 {
      guard errno == ESRCH else { throw SystemError("pidfd_open", errno, subject: "\(pid)") }
      onEnd()
      return
    }
    watched.withLock { $0[descriptor] = Watched(pid: pid, onEnd: onEnd) }
    var event = epoll_event()
    event.events = UInt32(EPOLLIN.rawValue)
    event.data.fd = descriptor
    guard epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
      let number = errno
      _ = watched.withLock { $0.removeValue(forKey: descriptor) }
      close(descriptor)
      throw SystemError("epoll_ctl", number)
    }
  }

  private func run() -> Never {
    var events = [epoll_event](repeating: epoll_event(), count: 64)
    while true {
      let count = epoll_wait(epoll, &events, Int32(events.count), -1)
      guard count > 0 else { continue }
      for event in events.prefix(Int(count)) { ended(event.data.fd) }
    }
  }

  private func ended(_ descriptor: Int32) {
    guard let process = watched.withLock({ $0.removeValue(forKey: descriptor) }) else { return }
    var status: Int32 = 0
    // Fails for one that is not our child: then someone else reaps it.
    _ = waitpid(process.pid, &status, Int32(WNOHANG))
    close(descriptor)
    process.onEnd()
  }
}
