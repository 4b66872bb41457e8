import CLinux
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// Keeps a client's connection: makes one when an RPC needs it, and forgets it when it is lost.
final class ClientConnector: Sendable {
  private typealias Waiter = CheckedContinuation<ClientLink, any Error>

  private enum Current: Sendable {
    case none
    /// The RPCs that wait for the attempt with this number, by their own numbers.
    case connecting(attempt: UInt64, waiters: [UInt64: Waiter])
    case connected(ClientLink)

    var link: ClientLink? { if case .connected(let link) = self { link } else { nil } }
  }

  private struct State: Sendable {
    var isRunning = false
    var isShutDown = false
    var current = Current.none
    var lastNumber: UInt64 = 0

    mutating func makeNumber() -> UInt64 {
      lastNumber += 1
      return lastNumber
    }
  }

  private let configuration: NGHTTP2ClientTransport.Configuration
  private let connect: @Sendable () async throws -> Int32
  private let state = Mutex(State())
  private let attempts: AsyncStream<UInt64>
  private let requestAttempt: AsyncStream<UInt64>.Continuation

  init(
    configuration: NGHTTP2ClientTransport.Configuration, connect: @escaping @Sendable () async throws -> Int32
  ) {
    self.configuration = configuration
    self.connect = connect
    (attempts, requestAttempt) = AsyncStream.makeStream()
  }

  func makeStreamKey() -> UInt64 { state.withLock { $0.makeNumber() } }

  // MARK: - For RPCs

  /// The connection, made if there is none. Throws UNAVAILABLE if it can't be made.
  func connection() async throws -> ClientLink {
    if let link = state.withLock({ $0.isShutDown ? nil : $0.current.link }) { return link }
    let id = makeStreamKey()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let known = state.withLock { state in enqueue(continuation, id, &state) }
        if let known { continuation.resume(with: known) }
      }
    } onCancel: {
      takeWaiter(id)?.resume(throwing: RPCError.taskCancelled)
    }
  }

  private func enqueue(_ waiter: Waiter, _ id: UInt64, _ state: inout State) -> Result<ClientLink, any Error>? {
    guard !state.isShutDown else { return .failure(RPCError.clientClosed) }
    if Task.isCancelled { return .failure(RPCError.taskCancelled) }
    switch state.current {
    case .connected(let link):
      return .success(link)
    case .connecting(let attempt, var waiters):
      waiters[id] = waiter
      state.current = .connecting(attempt: attempt, waiters: waiters)
    case .none:
      let attempt = state.makeNumber()
      state.current = .connecting(attempt: attempt, waiters: [id: waiter])
      requestAttempt.yield(attempt)
    }
    return nil
  }

  private func takeWaiter(_ id: UInt64) -> Waiter? {
    state.withLock { state in
      guard case .connecting(let attempt, var waiters) = state.current else { return nil }
      defer { state.current = .connecting(attempt: attempt, waiters: waiters) }
      return waiters.removeValue(forKey: id)
    }
  }

  // MARK: - For the transport

  func run() async throws {
    let loop = try start()
    await withTaskCancellationHandler {
      await withDiscardingTaskGroup { group in
        for await attempt in attempts {
          group.addTask { await self.attempt(attempt, loop) }
        }
        group.cancelAll()
      }
      loop.post { $0.beginShutdown() }
      await loop.ended()
    } onCancel: {
      beginShutdown()
      loop.post { $0.stop("the client was stopped") }
    }
  }

  private func start() throws -> EventLoop<ClientCore> {
    let isFirst = state.withLock { state in
      defer { state.isRunning = true }
      return !state.isRunning
    }
    guard isFirst else { throw RPCError(code: .failedPrecondition, message: "the transport was started before") }
    do {
      return try EventLoop(name: "grpc-client") { [weak self, configuration] poller in
        ClientCore(poller, configuration) { [weak self] id in self?.forget(id) }
      }
    } catch {
      beginShutdown()
      throw error
    }
  }

  func beginShutdown() {
    let waiters = state.withLock { state in
      state.isShutDown = true
      defer { state.current = .none }
      if case .connecting(_, let waiters) = state.current { return waiters }
      return [:]
    }
    requestAttempt.finish()
    for waiter in waiters.values { waiter.resume(throwing: RPCError.clientClosed) }
  }

  /// The connection takes no more RPCs.
  private func forget(_ connection: UInt64) {
    state.withLock { state in
      if case .connected(let link) = state.current, link.connection == connection { state.current = .none }
    }
  }

  // MARK: - Connecting

  /// Bounded in time whatever `connect` does: the waiters are told when the time is up, and a socket
  /// that comes later is closed.
  private func attempt(_ attempt: UInt64, _ loop: EventLoop<ClientCore>) async {
    await withTaskGroup(of: Void.self) { group in
      let timeout = configuration.connectTimeout
      group.addTask {
        guard (try? await Task.sleep(for: timeout)) != nil else { return }
        self.finish(attempt, .failure(RPCError.cannotConnect("no connection after \(timeout)")))
      }
      group.addTask {
        do {
          let descriptor = try await self.connect()
          let link = ClientLink(loop: loop, connection: attempt)
          if !self.finish(attempt, .success(link), descriptor) { close(descriptor) }
        } catch {
          self.finish(attempt, .failure(RPCError.cannotConnect("\(error)", error)))
        }
      }
      await group.next()
      group.cancelAll()
    }
  }

  /// False if nobody waits for this attempt any more.
  @discardableResult
  private func finish(_ attempt: UInt64, _ result: Result<ClientLink, any Error>, _ descriptor: Int32? = nil) -> Bool {
    let waiters: [UInt64: Waiter]? = state.withLock { state in
      guard case .connecting(attempt, let waiters) = state.current else { return nil }
      state.current = .none
      if case .success(let link) = result, let descriptor {
        // The connection is on the loop before any of its streams, since jobs keep their order. If the
        // loop has ended, the streams fail by themselves.
        if link.loop.post({ $0.adopt(descriptor, id: attempt) }) {
          state.current = .connected(link)
        } else {
          close(descriptor)
        }
      }
      return waiters
    }
    guard let waiters else { return false }
    for waiter in waiters.values { waiter.resume(with: result) }
    return true
  }
}

extension RPCError {
  static let clientClosed = RPCError(code: .failedPrecondition, message: "the client was shut down")

  static func cannotConnect(_ reason: String, _ cause: (any Error)? = nil) -> RPCError {
    RPCError(code: .unavailable, message: "can't connect to the server: \(reason)", cause: cause)
  }
}
