import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A point in time that several waits share.
struct Deadline {
  private let end: ContinuousClock.Instant

  init(after timeout: Duration) { end = ContinuousClock.now + timeout }

  /// Rounded up, so that a wait does not end just before its time.
  var remainingMilliseconds: Int32 {
    let left = end - ContinuousClock.now
    guard left > .zero else { return 0 }
    let (seconds, attoseconds) = min(left, .seconds(1_000_000)).components
    return Int32(seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
  }
}

/// A new stream socket, non-blocking for as long as we connect.
func open(_ family: Int32) throws(VsockError) -> Int32 {
  let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
  let descriptor = socket(family, kind, 0)
  guard descriptor >= 0 else { throw .system(SystemError("socket", errno)) }
  return descriptor
}

func setBlocking(_ descriptor: Int32) throws(VsockError) {
  let flags = fcntl(descriptor, F_GETFL)
  guard flags >= 0, fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) == 0 else {
    throw .system(SystemError("fcntl", errno))
  }
}

/// Until the descriptor is ready, or has failed: the next call on it says how.
func wait(_ descriptor: Int32, _ events: Int32, _ deadline: Deadline) throws(VsockError) {
  while true {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    let count = poll(&entry, 1, deadline.remainingMilliseconds)
    if count > 0 { return }
    if count == 0 { throw .timedOut }
    if errno != EINTR { throw .system(SystemError("poll", errno)) }
  }
}
