import CLinux
import Glibc
import LinuxSystem
import Synchronization

/// One thread that waits for many descriptors (epoll). Watches are one-shot: a handler runs once for each
/// `arm`, on the reactor's thread, and must not block. It may be called without cause, so handlers use
/// non-blocking descriptors.
final class Reactor: Sendable {
  typealias Handler = @Sendable () -> Void

  private let epoll: Int32
  private let handlers = Mutex<[Int32: Handler]>([:])

  init() throws {
    epoll = try systemCall("epoll_create") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
  }

  /// Serves forever.
  func run() -> Never {
    var events = [epoll_event](repeating: epoll_event(), count: 64)
    while true {
      let count = epoll_wait(epoll, &events, Int32(events.count), -1)
      for event in events.prefix(Int(max(count, 0))) {
        let descriptor = event.data.fd
        handlers.withLock { $0[descriptor] }?()
      }
    }
  }

  /// Makes `descriptor` known. It stays the caller's, who takes it away with `remove` before closing it.
  func add(_ descriptor: Int32, _ handler: @escaping Handler) throws {
    handlers.withLock { $0[descriptor] = handler }
    var event = epoll_event(events: EPOLLONESHOT.rawValue, data: epoll_data_t(fd: descriptor))
    try systemCall("epoll_ctl") { epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) }
  }

  enum Interest { case read, write }

  /// Calls the handler once, as soon as the descriptor is ready.
  func arm(_ descriptor: Int32, _ interest: Interest) {
    let events = (interest == .read ? EPOLLIN : EPOLLOUT).rawValue | EPOLLONESHOT.rawValue
    var event = epoll_event(events: events, data: epoll_data_t(fd: descriptor))
    // Fails only for a descriptor that was removed meanwhile.
    epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event)
  }

  func remove(_ descriptor: Int32) {
    _ = handlers.withLock { $0.removeValue(forKey: descriptor) }
    epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nil)
  }
}
