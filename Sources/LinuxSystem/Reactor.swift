import CLinux
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// One thread that waits for many descriptors (epoll). Watches are one-shot: a handler runs once for each
/// `arm`, on the reactor's thread, and must not block. It may be called without cause, so handlers use
/// non-blocking descriptors.
public final class Reactor: Sendable {
  public typealias Handler = @Sendable () -> Void

  private let epoll: Int32
  private let handlers = Mutex<[Int32: Handler]>([:])

  public init() throws(SystemError) {
    epoll = try systemCall("epoll_create") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
  }

  /// A reactor with a thread of its own, which lasts as long as the process.
  public static func started() throws(SystemError) -> Reactor {
    let reactor = try Reactor()
    pthread_detach(try startThread { reactor.run() })
    return reactor
  }

  /// Serves forever.
  public func run() -> Never {
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
  public func add(_ descriptor: Int32, _ handler: @escaping Handler) throws(SystemError) {
    handlers.withLock { $0[descriptor] = handler }
    var event = epoll_event(events: EPOLLONESHOT.rawValue, data: epoll_data_t(fd: descriptor))
    do throws(SystemError) {
      try systemCall("epoll_ctl") { epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) }
    } catch {
      _ = handlers.withLock { $0.removeValue(forKey: descriptor) }
      throw error
    }
  }

  public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = Interest(rawValue: EPOLLIN.rawValue)
    public static let write = Interest(rawValue: EPOLLOUT.rawValue)
  }

  /// Calls the handler once, as soon as the descriptor is ready. Replaces what was armed before.
  public func arm(_ descriptor: Int32, _ interest: Interest) {
    var event = epoll_event(events: interest.rawValue | EPOLLONESHOT.rawValue, data: epoll_data_t(fd: descriptor))
    // Fails only for a descriptor that was removed meanwhile.
    epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event)
  }

  public func remove(_ descriptor: Int32) {
    _ = handlers.withLock { $0.removeValue(forKey: descriptor) }
    epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nil)
  }
}
