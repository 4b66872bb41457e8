import CLinux
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// A gRPC client over one stream socket, for GRPCCore.
///
///     try await withGRPCClient(transport: .unix(path: "/run/bulkhead/cri.sock")) { client in ... }
///
/// The first RPC connects, and so does the first one after the connection was lost or the server said
/// good-bye. An RPC that can't connect fails as UNAVAILABLE; nothing is retried behind the caller's
/// back, and `waitForReady` has no effect. All I/O is done by one thread.
public final class NGHTTP2ClientTransport: ClientTransport {
  public typealias Bytes = [UInt8]

  public struct Configuration: Sendable {
    public var http2 = HTTP2Limits()
    /// Bytes of one message, the two directions apart. Larger ones end the RPC as RESOURCE_EXHAUSTED.
    /// An RPC's own `CallOptions` take precedence.
    public var maxRequestMessageSize = 16 << 20
    public var maxResponseMessageSize = 16 << 20
    /// How long `connect` may take.
    public var connectTimeout = Duration.seconds(5)
    public var keepalive = Keepalive(interval: .seconds(30))
    /// The requests' `:authority`.
    public var authority = "localhost"

    public init() {}
  }

  let connector: ClientConnector
  private let configuration: Configuration
  private let peer: String

  /// `connect` yields the descriptor of a connected stream socket, which the transport owns from then.
  /// It runs on the concurrency pool, so it must not block, and it is cancelled when it takes longer
  /// than the connect timeout. `peer` is what `ClientContext` shows: "unix:/path", "vsock:3:1024".
  public init(
    connect: @escaping @Sendable () async throws -> Int32, peer: String = "unknown:",
    configuration: Configuration = Configuration()
  ) {
    self.configuration = configuration
    self.peer = peer
    self.connector = ClientConnector(configuration: configuration, connect: connect)
  }

  public let retryThrottle: RetryThrottle? = nil

  public func config(forMethod descriptor: MethodDescriptor) -> MethodConfig? { nil }

  /// Runs the connections until `beginGracefulShutdown` and the end of the running RPCs. Cancelling
  /// the task ends them at once.
  public func connect() async throws { try await connector.run() }

  public func beginGracefulShutdown() { connector.beginShutdown() }

  public func withStream<T: Sendable>(
    descriptor: MethodDescriptor, options: CallOptions,
    _ closure: (RPCStream<Inbound, Outbound>, ClientContext) async throws -> T
  ) async throws -> T {
    let link = try await connector.connection()
    let machine = ClientStreamMachine(
      path: "/\(descriptor.service.fullyQualifiedService)/\(descriptor.method)", authority: configuration.authority,
      maxReceiveSize: options.maxResponseMessageBytes ?? configuration.maxResponseMessageSize,
      maxSendSize: options.maxRequestMessageBytes ?? configuration.maxRequestMessageSize)
    let stream = ClientStream(
      key: connector.makeStreamKey(), machine: machine, limits: configuration.http2, link: link)
    let rpc = RPCStream(
      descriptor: descriptor, inbound: RPCAsyncSequence(wrapping: StreamParts(stream)),
      outbound: RPCWriter.Closable(wrapping: StreamWriter(stream)))
    let context = ClientContext(descriptor: descriptor, remotePeer: peer, localPeer: "")
    defer { stream.abandon(.taskCancelled) }
    return try await closure(rpc, context)
  }
}

extension ClientTransport where Self == NGHTTP2ClientTransport {
  /// A client of the server on the unix socket `path`.
  public static func unix(
    path: String, configuration: NGHTTP2ClientTransport.Configuration = .init()
  ) -> NGHTTP2ClientTransport {
    NGHTTP2ClientTransport(
      connect: { try UnixAddress.connect(path) }, peer: "unix:\(path)", configuration: configuration)
  }
}
