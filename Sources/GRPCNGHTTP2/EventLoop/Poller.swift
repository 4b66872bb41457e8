import CLinux
import Glibc
import LinuxSystem

/// The loop's epoll set and timers. Stays on the loop's thread.
final class Poller {
  /// What a descriptor is ready for.
  struct Events: OptionSet {
    let rawValue: UInt32
    static let read = Events(rawValue: 0x001)  // EPOLLIN
    static let write = Events(rawValue: 0x004)  // EPOLLOUT
    static let error = Events(rawValue: 0x008)  // EPOLLERR
    static let hangUp = Events(rawValue: 0x010)  // EPOLLHUP
  }

  private let epoll: Int32
  private var handlers: [Int32: (Events) -> Void] = [:]
  private var timers = TimerQueue()
  private var ready = [epoll_event](repeating: epoll_event(), count: 64)
  /// Set to end the loop after its current turn.
  var isStopped = false

  /// Owns `epoll` from now.
  init(epoll: Int32) { self.epoll = epoll }

  deinit { close(epoll) }

  /// Calls `handler` whenever `descriptor` is ready, until `remove`.
  func add(_ descriptor: Int32, _ events: Events, _ handler: @escaping (Events) -> Void) throws(SystemError) {
    try control(EPOLL_CTL_ADD, descriptor, events)
    handlers[descriptor] = handler
  }

  /// The same for a descriptor that is in the epoll set already.
  func handle(_ descriptor: Int32, _ handler: @escaping (Events) -> Void) { handlers[descriptor] = handler }

  func change(_ descriptor: Int32, _ events: Events) throws(SystemError) {
    try control(EPOLL_CTL_MOD, descriptor, events)
  }

  /// To be called before the descriptor is closed.
  func remove(_ descriptor: Int32) {
    guard handlers.removeValue(forKey: descriptor) != nil else { return }
    epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nil)
  }

  func after(_ delay: Duration, _ action: @escaping () -> Void) -> TimerQueue.ID {
    timers.add(.now + delay, action)
  }

  func cancel(_ timer: TimerQueue.ID) { timers.cancel(timer) }

  /// Waits for something to happen, for at most no time at all if `block` is false, and lets it be
  /// handled. An event of a descriptor that was removed in this same turn is dropped; one that was
  /// closed and opened anew in between only sees a harmless extra call.
  func turn(block: Bool) throws(SystemError) {
    let timeout = block ? timers.next().map(Self.milliseconds(until:)) ?? -1 : 0
    let capacity = Int32(ready.count)
    let count = try systemCall("epoll_wait") { epoll_wait(epoll, &ready, capacity, timeout) }
    for event in ready.prefix(Int(count)) {
      handlers[event.data.fd]?(Events(rawValue: event.events))
    }
    guard timers.next() != nil else { return }
    let now = ContinuousClock.now
    while let action = timers.takeDue(now) { action() }
  }

  private func control(_ operation: Int32, _ descriptor: Int32, _ events: Events) throws(SystemError) {
    var event = epoll_event()
    event.events = events.rawValue
    event.data.fd = descriptor
    try systemCall("epoll_ctl") { epoll_ctl(epoll, operation, descriptor, &event) }
  }

  /// Rounded up, so that the timer is due after the wait.
  private static func milliseconds(until instant: ContinuousClock.Instant) -> Int32 {
    let left = ContinuousClock.now.duration(to: instant)
    if left <= .zero { return 0 }
    let (seconds, attoseconds) = left.components
    return Int32(clamping: min(seconds, 1 << 20) * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
  }
}
