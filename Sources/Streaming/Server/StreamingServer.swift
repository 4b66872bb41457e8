import Common
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Serves exec, attach and port-forward to clients that come with a URL from here: HTTP/1.1 on loopback,
/// upgraded to SPDY/3.1 or WebSocket. One thread does all of its I/O.
public final class StreamingServer: Sendable {
  /// "http://127.0.0.1:PORT"
  public let baseURL: String

  private typealias Accepted = EventLoopFuture<UpgradedConnection?>

  private let configuration: StreamingConfiguration
  private let backend: any StreamingBackend
  private let logger: Logger
  private let tokens: TokenStore
  private let group: MultiThreadedEventLoopGroup
  private let listener: NIOAsyncChannel<(any Channel, Accepted), Never>
  private let slots: SessionSlots
  private let connections = Mutex(0)

  /// Connections under way, sessions among them.
  var openConnections: Int { connections.withLock { $0 } }

  /// Sessions that take a place, from before their upgrade is answered.
  var openSessions: Int { slots.count }

  /// Binds its port. Throws `invalidArgument` where the address is not a loopback address, `unavailable`
  /// where it can't be bound.
  public static func bind(
    _ configuration: StreamingConfiguration, backend: any StreamingBackend, logger: Logger
  ) async throws -> StreamingServer {
    let address = try loopback(configuration)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    do {
      return try await StreamingServer(configuration, backend, logger, group, address)
    } catch {
      try? await group.shutdownGracefully()
      throw BulkheadError(
        .unavailable, "cannot listen on \(configuration.address) port \(configuration.port) for exec and attach",
        cause: error)
    }
  }

  private init(
    _ configuration: StreamingConfiguration, _ backend: any StreamingBackend, _ logger: Logger,
    _ group: MultiThreadedEventLoopGroup, _ address: SocketAddress
  ) async throws {
    let tokens = TokenStore(lifetime: configuration.tokenLifetime, capacity: configuration.maximumTokens)
    let slots = SessionSlots(maximum: configuration.maximumSessions)
    let admission = Admission(tokens: tokens, slots: slots)
    listener = try await ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.backlog, value: 128)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // What the kernel holds for a client that nobody listens to.
      .childChannelOption(.socketOption(.so_rcvbuf), value: 256 << 10)
      .bind(to: address) { channel in
        channel.eventLoop.makeCompletedFuture {
          (channel, try UpgradePipeline.configure(channel, admission: admission))
        }
      }
    self.configuration = configuration
    self.backend = backend
    self.logger = logger
    self.tokens = tokens
    self.slots = slots
    self.group = group
    let port = listener.channel.localAddress?.port ?? configuration.port
    let host = configuration.address.contains(":") ? "[\(configuration.address)]" : configuration.address
    baseURL = "http://\(host):\(port)"
  }

  private static func loopback(_ configuration: StreamingConfiguration) throws -> SocketAddress {
    let address = try? SocketAddress(ipAddress: configuration.address, port: configuration.port)
    guard let address, address.isLoopback else {
      throw BulkheadError(
        .invalidArgument, "the streaming server listens on loopback only: \(printable(configuration.address)) is not")
    }
    return address
  }

  // MARK: - URLs

  /// A URL for one use within a minute. Throws `invalidArgument` for streams that make no sense together,
  /// `resourceExhausted` where too many URLs wait for their clients.
  public func url(for request: ExecSessionRequest) throws(BulkheadError) -> String {
    guard let program = request.command.first, !program.isEmpty else {
      throw BulkheadError(.invalidArgument, "the command is empty")
    }
    try Self.check(request.streams)
    return try url(.exec(request))
  }

  public func url(for request: AttachSessionRequest) throws(BulkheadError) -> String {
    try Self.check(request.streams)
    return try url(.attach(request))
  }

  public func url(for request: PortForwardSessionRequest) throws(BulkheadError) -> String {
    guard request.ports.allSatisfy({ $0 > 0 }) else {
      throw BulkheadError(.invalidArgument, "0 is no port: 1 to 65535")
    }
    return try url(.portForward(request))
  }

  private func url(_ request: SessionRequest) throws(BulkheadError) -> String {
    "\(baseURL)/\(request.endpoint)/\(try tokens.insert(request))"
  }

  private static func check(_ streams: StandardStreams) throws(BulkheadError) {
    guard streams.stdin || streams.stdout || streams.stderr else {
      throw BulkheadError(.invalidArgument, "one of stdin, stdout and stderr must be set")
    }
    guard !(streams.terminal && streams.stderr) else {
      throw BulkheadError(.invalidArgument, "tty and stderr exclude each other: a terminal's output is all stdout")
    }
  }

  // MARK: - Serving

  /// Connections beyond the sessions: those whose request is under way or being refused.
  private static let maximumHandshakes = 64

  /// Serves until the calling task is cancelled, and ends all sessions then.
  public func run() async throws {
    do {
      try await listener.executeThenClose { accepted in
        try await withThrowingDiscardingTaskGroup { group in
          for try await (channel, upgraded) in accepted {
            group.addTask { await self.serve(channel, upgraded) }
          }
          group.cancelAll()
        }
      }
    } catch is CancellationError {}
    try await group.shutdownGracefully()
  }

  private func serve(_ channel: any Channel, _ upgraded: Accepted) async {
    let count = connections.withLock { count in
      count += 1
      return count
    }
    defer { connections.withLock { $0 -= 1 } }
    guard count <= configuration.maximumSessions + Self.maximumHandshakes else { return channel.close(promise: nil) }
    let gone = Latch()
    channel.closeFuture.whenComplete { _ in gone.open() }
    do {
      let connection = try await handshake(channel, upgraded, gone)
      guard let connection else { return }
      try await serve(connection, gone)
    } catch {
      channel.close(promise: nil)
      logger.debug("streaming session ended early", metadata: ["why": "\(printable("\(error)"))"])
    }
  }

  /// Nil where the request was refused.
  private func handshake(
    _ channel: any Channel, _ upgraded: Accepted, _ gone: Latch
  ) async throws -> UpgradedConnection? {
    let timeout = channel.eventLoop.scheduleTask(in: TimeAmount(configuration.handshakeTimeout)) {
      channel.close(promise: nil)
    }
    defer { timeout.cancel() }
    let connection = try await upgraded.get()
    if connection == nil { await gone.wait() }
    return connection
  }

  private func serve(_ connection: UpgradedConnection, _ gone: Latch) async throws {
    defer { connection.slot.giveBack() }
    try await connection.channel.executeThenClose { inbound, outbound in
      let activity = ActivityClock()
      let wire = SocketWire(outbound: outbound, activity: activity)
      let chunks = SocketChunks(inbound: inbound, activity: activity)
      try await withThrowingTaskGroup(of: Void.self) { group in
        defer { group.cancelAll() }
        group.addTask { try await self.serve(connection.session, chunks, wire) }
        // Noticed even while nothing is read because the process takes no input.
        group.addTask {
          await gone.wait()
          throw ClientGone()
        }
        group.addTask {
          await activity.waitUntilIdle(for: self.configuration.idleTimeout)
          try Task.checkCancellation()
          throw BulkheadError(.deadlineExceeded, "no activity for \(self.configuration.idleTimeout)")
        }
        try await group.next()
      }
    }
  }

  private func serve(_ session: AdmittedSession, _ chunks: SocketChunks, _ wire: any Wire) async throws {
    let limits = SessionLimits(
      streamCreation: configuration.streamCreationTimeout, lingering: configuration.lingering,
      probeInterval: configuration.probeInterval)
    switch session {
    case .spdyCommand(let command, let version):
      try await SPDYCommandSession(command: command, version: version, backend: backend, limits: limits)
        .serve(chunks, wire)
    case .channelCommand(let command, let channels):
      try await ChannelCommandSession(command: command, channels: channels, backend: backend, limits: limits)
        .serve(chunks, wire)
    case .spdyPortForward(let request):
      try await SPDYPortForwardSession(request: request, backend: backend, limits: limits).serve(chunks, wire)
    case .tunnelledPortForward(let request):
      try await SPDYPortForwardSession(request: request, backend: backend, limits: limits)
        .serve(WebSocketTunnel(chunks: chunks, wire: wire), WebSocketTunnelWire(wire: wire))
    case .channelPortForward(let request, let channels):
      try await ChannelPortForwardSession(request: request, channels: channels, backend: backend, limits: limits)
        .serve(chunks, wire)
    }
  }
}

extension SocketAddress {
  fileprivate var isLoopback: Bool {
    switch self {
    case .v4(let address): UInt8(truncatingIfNeeded: UInt32(bigEndian: address.address.sin_addr.s_addr) >> 24) == 127
    case .v6: ipAddress == "::1"
    case .unixDomainSocket: false
    }
  }
}
