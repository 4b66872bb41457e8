import CLinux
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// What an event is about, packed into epoll's 64 bits of user data.
enum EventSource: Equatable {
  case vhostListener, vhostChannel, clientListener
  case kick(ring: Int)
  case client(hostPort: UInt32)

  var token: UInt64 {
    switch self {
    case .vhostListener: return 0
    case .vhostChannel: return 1 << 32
    case .clientListener: return 2 << 32
    case .kick(let ring): return 3 << 32 | UInt64(ring)
    case .client(let hostPort): return 4 << 32 | UInt64(hostPort)
    }
  }

  /// Nil for a token that is none of ours.
  init?(token: UInt64) {
    let value = UInt32(truncatingIfNeeded: token)
    switch token >> 32 {
    case 0: self = .vhostListener
    case 1: self = .vhostChannel
    case 2: self = .clientListener
    case 3: self = .kick(ring: Int(value))
    case 4: self = .client(hostPort: value)
    default: return nil
    }
  }
}

/// epoll(7) events that we ask for or get.
struct Readiness: OptionSet {
  let rawValue: UInt32
  static let readable = Readiness(EPOLLIN)
  static let writable = Readiness(EPOLLOUT)
  static let peerFinished = Readiness(EPOLLRDHUP)
  static let hungUp = Readiness(EPOLLHUP)
  static let failed = Readiness(EPOLLERR)
  static let edgeTriggered = Readiness(EPOLLET)

  init(rawValue: UInt32) { self.rawValue = rawValue }
  private init(_ event: EPOLL_EVENTS) { self.init(rawValue: event.rawValue) }
}

/// An epoll instance. A socket of ours leaves it by being closed; what others hold too, by `remove`.
struct Epoll {
  private let descriptor: FileDescriptor
  private var events = ContiguousArray(repeating: epoll_event(), count: 256)

  init() throws {
    descriptor = FileDescriptor(try systemCall("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) })
  }

  func add(_ number: Int32, _ source: EventSource, _ interest: Readiness) throws {
    try control(EPOLL_CTL_ADD, number, source, interest)
  }

  func change(_ number: Int32, _ source: EventSource, _ interest: Readiness) throws {
    try control(EPOLL_CTL_MOD, number, source, interest)
  }

  func remove(_ number: Int32) throws { try control(EPOLL_CTL_DEL, number, .vhostChannel, []) }

  private func control(_ operation: Int32, _ number: Int32, _ source: EventSource, _ interest: Readiness) throws {
    var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: source.token))
    try systemCall("epoll_ctl") { epoll_ctl(descriptor.number, operation, number, &event) }
  }

  /// Waits for events, at most `timeout` milliseconds (-1: for ever); returns how many there are.
  mutating func wait(timeout: Int32) throws -> Int {
    let number = descriptor.number
    let count = events.withUnsafeMutableBufferPointer { buffer in
      epoll_wait(number, buffer.baseAddress, Int32(buffer.count), timeout)
    }
    if count >= 0 { return Int(count) }
    guard errno == EINTR else { throw SystemError("epoll_wait", errno) }
    return 0
  }

  /// One of the events that `wait` counted.
  func event(_ index: Int) -> (source: EventSource, readiness: Readiness)? {
    guard let source = EventSource(token: events[index].data.u64) else { return nil }
    return (source, Readiness(rawValue: events[index].events))
  }
}

/// Seconds of the monotonic clock, coarse: for patience only, never on the way of data.
func monotonicSeconds() -> Int64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
  return Int64(now.tv_sec)
}
