import GRPCCore
import LinuxSystem
import Synchronization

/// A gRPC server on unix and vsock sockets, for GRPCCore.
///
///     let transport = try NGHTTP2ServerTransport(listeners: [.unix(path: "/run/bulkhead/cri.sock")])
///     try await GRPCServer(transport: transport, services: [service]).serve()
///
/// The sockets accept from `init` on; what connects early waits for `listen`. All connections are
/// served by one thread; each RPC's handler is a task of its own on the concurrency pool, cancelled
/// when the client is gone, has cancelled, or the deadline has passed. `grpc-timeout` is the
/// transport's business: handlers find the deadline in `NGHTTP2ServerContext`, not in the metadata.
public final class NGHTTP2ServerTransport: ServerTransport {
  public typealias Bytes = [UInt8]

  public struct Configuration: Sendable {
    public var http2 = HTTP2Limits()
    /// Bytes of one message, the two directions apart. Larger ones end the RPC as RESOURCE_EXHAUSTED.
    public var maxRequestMessageSize = 16 << 20
    public var maxResponseMessageSize = 16 << 20
    /// RPCs at the same time on one connection; more are refused, and clients wait or retry.
    public var maxConcurrentStreams: UInt32 = 256
    /// Connections at the same time; more are closed at once.
    public var maxConnections = 256
    public var keepalive = Keepalive(interval: .seconds(60), whileIdle: true)
    /// How long running RPCs have after `beginGracefulShutdown`.
    public var shutdownGracePeriod = Duration.seconds(30)

    public init() {}
  }

  private enum State: Sendable {
    case ready([ListeningSocket])
    case listening(EventLoop<ServerCore>)
    case stopped
  }

  private let configuration: Configuration
  private let state: Mutex<State>

  /// Binds the listeners. Throws `AddressInUse` or `SystemError`.
  public init(listeners: [Listener], configuration: Configuration = Configuration()) throws {
    var sockets: [ListeningSocket] = []
    do {
      for listener in listeners { sockets.append(try ListeningSocket(listener)) }
    } catch {
      for socket in sockets { socket.close() }
      throw error
    }
    self.configuration = configuration
    self.state = Mutex(.ready(sockets))
  }

  deinit {
    if case .ready(let sockets) = state.withLock({ $0 }) {
      for socket in sockets { socket.close() }
    }
  }

  /// Serves until `beginGracefulShutdown` and the end of the running RPCs. Cancelling the task closes
  /// all connections at once. Returns when the last handler has.
  public func listen(
    streamHandler: @escaping @Sendable (RPCStream<Inbound, Outbound>, ServerContext) async -> Void
  ) async throws {
    let handlers = HandlerTasks()
    guard let loop = try start(handlers, streamHandler) else { return }
    await withTaskCancellationHandler {
      await loop.ended()
    } onCancel: {
      loop.post { $0.stop("the server was stopped") }
    }
    state.withLock { $0 = .stopped }
    await handlers.allDone()
  }

  /// Nil if the server was shut down before it started.
  private func start(
    _ handlers: HandlerTasks, _ handler: @escaping @Sendable (RPCStream<Inbound, Outbound>, ServerContext) async -> Void
  ) throws -> EventLoop<ServerCore>? {
    try state.withLock { state in
      guard case .ready(let sockets) = state else { return nil }
      let configuration = self.configuration
      let link = ServerLink()
      let loop = try EventLoop<ServerCore>(name: "grpc-server") { poller in
        ServerCore(poller, sockets, configuration, link, handlers, handler)
      }
      link.attach(loop)
      state = .listening(loop)
      return loop
    }
  }

  /// Stops accepting, tells the clients (GOAWAY), and lets running RPCs finish, for at most the grace
  /// period.
  public func beginGracefulShutdown() {
    let previous = state.withLock { state in
      defer { if case .ready = state { state = .stopped } }
      return state
    }
    switch previous {
    case .ready(let sockets): for socket in sockets { socket.close() }
    case .listening(let loop): loop.post { $0.beginShutdown() }
    case .stopped: break
    }
  }
}

/// What this transport tells a handler, as `ServerContext.transportSpecific`.
public struct NGHTTP2ServerContext: ServerContext.TransportSpecific {
  /// When the client stops waiting. The handler is cancelled then.
  public var deadline: ContinuousClock.Instant?
}
