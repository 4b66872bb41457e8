import CLinux
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// A descriptor (pipe, terminal, socket) that tasks read and write without holding a thread while they
/// wait. Closed by `close`, or with the object.
///
/// Any number of tasks may use it at once, and each waits for itself. A cancelled task gets
/// `CancellationError`; one that waits while the descriptor is closed gets EBADF.
public final class AsyncDescriptor: Sendable {
  private typealias Waiter = CheckedContinuation<Void, Never>

  private struct State {
    /// -1: closed.
    var descriptor: Int32
    /// What is there now is all that will be read.
    var isDraining = false
    var readers: [UInt64: Waiter] = [:]
    var writers: [UInt64: Waiter] = [:]
    var lastWaiter: UInt64 = 0

    var interest: Reactor.Interest {
      var interest: Reactor.Interest = readers.isEmpty ? [] : .read
      if !writers.isEmpty { interest.insert(.write) }
      return interest
    }

    mutating func takeWaiters() -> [Waiter] {
      defer { (readers, writers) = ([:], [:]) }
      return Array(readers.values) + Array(writers.values)
    }
  }

  private let reactor: Reactor
  private let isSocket: Bool
  private let state: Mutex<State>

  /// Takes over `descriptor`, also when it throws.
  public init(owning descriptor: Int32, reactor: Reactor) throws(SystemError) {
    self.reactor = reactor
    var status = stat()
    isSocket = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    state = Mutex(State(descriptor: descriptor))
    do throws(SystemError) {
      let flags = try systemCall("fcntl") { fcntl(descriptor, F_GETFL) }
      try systemCall("fcntl") { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
      // The handler must not keep the object alive: who drops the object closes the descriptor.
      try reactor.add(descriptor) { [weak self] in self?.wake() }
    } catch {
      state.withLock { $0.descriptor = -1 }
      _ = Glibc.close(descriptor)
      throw error
    }
  }

  deinit { close() }

  /// Wakes who waits, and closes. Once is enough.
  public func close() {
    let waiters = state.withLock { state in
      if state.descriptor >= 0 {
        reactor.remove(state.descriptor)
        _ = Glibc.close(state.descriptor)
        state.descriptor = -1
      }
      return state.takeWaiters()
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Gives the descriptor, non-blocking, to the caller, who closes it; -1 where it was closed. For the object that is
  /// its end, as `close` is.
  public func detach() -> Int32 {
    let (descriptor, waiters) = state.withLock { state in
      let descriptor = state.descriptor
      if descriptor >= 0 { reactor.remove(descriptor) }
      state.descriptor = -1
      return (descriptor, state.takeWaiters())
    }
    for waiter in waiters { waiter.resume() }
    return descriptor
  }

  /// Nobody can write at the other end any more, whoever has it open: reading ends where it is empty.
  public func drain() {
    let waiters = state.withLock { state in
      state.isDraining = true
      return state.takeWaiters()
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Runs `body` on the descriptor, unless it is closed: for ioctls. `body` must not block.
  public func withDescriptor(_ body: (Int32) -> Void) {
    state.withLock { if $0.descriptor >= 0 { body($0.descriptor) } }
  }

  // MARK: - Reading and writing

  /// At least one byte into `buffer`; 0 at the end. A terminal that nobody has open any more is at its end.
  public func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
    try await perform("read", .read) { Glibc.read($0, buffer.baseAddress, buffer.count) }
  }

  /// At least one byte and at most `limit`, for whoever frees it; nil at the end. While it waits there is no
  /// memory held.
  public func readBlock(limit: Int) async throws -> MemoryBlock? {
    try await readable()
    var block = MemoryBlock(size: limit)
    do {
      block.count = try await read(into: block.room)
    } catch {
      block.free()
      throw error
    }
    guard block.count > 0 else {
      block.free()
      return nil
    }
    return block
  }

  /// Returns when all of `bytes` is in the pipe or socket. Throws EPIPE when nobody reads any more; for a pipe
  /// the process has to ignore SIGPIPE.
  public func write(_ bytes: UnsafeRawBufferPointer) async throws {
    var rest = bytes
    while !rest.isEmpty {
      let part = rest
      let count = try await perform("write", .write) { descriptor in
        isSocket
          ? send(descriptor, part.baseAddress, part.count, Int32(MSG_NOSIGNAL))
          : Glibc.write(descriptor, part.baseAddress, part.count)
      }
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
    }
  }

  /// Returns when there is something to read, or an end. Nothing is held meanwhile.
  public func readable() async throws {
    _ = try await perform("poll", .read) { descriptor in
      var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      return poll(&entry, 1, 0) == 0 ? Self.wouldBlock() : 1
    }
  }

  /// The other end hears that nothing more comes; sockets only.
  public func shutdownOutput() throws(SystemError) {
    let failure = state.withLock { state in
      state.descriptor < 0 ? EBADF : shutdown(state.descriptor, Int32(SHUT_WR)) == 0 ? 0 : errno
    }
    if failure != 0 { throw SystemError("shutdown", failure) }
  }

  /// Whether the other end of a socket has closed it whole, which reading alone can't tell from a half:
  /// sending nothing fails then.
  public var isPeerGone: Bool {
    state.withLock { state in
      state.descriptor < 0 || (send(state.descriptor, nil, 0, Int32(MSG_NOSIGNAL)) < 0 && errno != EAGAIN)
    }
  }

  /// The next connection of a listening socket, non-blocking and close-on-exec, with its peer's vsock CID.
  public func accept() async throws -> (descriptor: Int32, cid: UInt32?) {
    var address = sockaddr_storage()
    let accepted = try await perform("accept", .read) { descriptor in
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      return withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Int(bh_accept4(descriptor, $0, &length, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)))
        }
      }
    }
    guard Int32(address.ss_family) == AF_VSOCK else { return (Int32(accepted), nil) }
    return (Int32(accepted), withUnsafeBytes(of: &address) { $0.loadUnaligned(as: sockaddr_vm.self).svm_cid })
  }

  /// The next connection of a listening socket, on the same reactor.
  public func acceptConnection() async throws -> AsyncDescriptor {
    try AsyncDescriptor(owning: try await accept().descriptor, reactor: reactor)
  }

  /// Returns when a connection that was begun is there; throws what the peer's kernel said.
  public func connected() async throws {
    _ = try await perform("connect", .write) { descriptor in
      var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      guard poll(&entry, 1, 0) > 0 else { return Self.wouldBlock() }
      var number: Int32 = 0
      var size = socklen_t(MemoryLayout<Int32>.size)
      getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &size)
      errno = number
      return number == 0 ? 0 : -1
    }
  }

  // MARK: - Waiting

  private static func wouldBlock() -> Int {
    errno = EAGAIN
    return -1
  }

  /// Repeats `body`, a system call, until it does not say EAGAIN.
  private func perform(
    _ call: String, _ interest: Reactor.Interest, _ body: (Int32) -> Int
  ) async throws -> Int {
    while true {
      try Task.checkCancellation()
      let result: Int = state.withLock { state in
        guard state.descriptor >= 0 else { return -Int(EBADF) }
        let result = body(state.descriptor)
        if result >= 0 { return result }
        if errno == EAGAIN, state.isDraining, interest == .read { return 0 }
        return -Int(errno)
      }
      switch -result {
      case ..<1: return result
      case Int(EINTR): continue
      case Int(EAGAIN): await ready(interest)
      // Of a terminal without slaves.
      case Int(EIO) where interest == .read: return 0
      default: throw SystemError(call, Int32(-result))
      }
    }
  }

  private func ready(_ interest: Reactor.Interest) async {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state in
          let isOver = state.isDraining && interest == .read
          guard state.descriptor >= 0, !isOver, !Task.isCancelled else { return false }
          if interest == .read { state.readers[id] = continuation } else { state.writers[id] = continuation }
          reactor.arm(state.descriptor, state.interest)
          return true
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.readers.removeValue(forKey: id) ?? $0.writers.removeValue(forKey: id) }?.resume()
    }
  }

  /// Who waits looks again; that includes those for whom nothing has changed.
  private func wake() {
    let waiters = state.withLock { $0.takeWaiters() }
    for waiter in waiters { waiter.resume() }
  }
}
