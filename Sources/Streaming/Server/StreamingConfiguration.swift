/// How the streaming server listens and what it bounds.
public struct StreamingConfiguration: Sendable {
  /// A loopback address: whoever knows a URL may use it, and HTTP hides nothing from the network.
  public var address = "127.0.0.1"
  /// 0: one that is free.
  public var port = 0
  /// A session without a byte in either direction for this long is ended.
  public var idleTimeout: Duration = .seconds(4 * 3600)
  /// How long a URL is good for.
  public var tokenLifetime: Duration = .seconds(60)
  /// URLs that nobody has used yet.
  public var maximumTokens = 1000
  /// Sessions at once; further clients get 503.
  public var maximumSessions = 256
  /// For a client to open the streams it is to open.
  public var streamCreationTimeout: Duration = .seconds(30)
  /// For a new connection to send its request.
  public var handshakeTimeout: Duration = .seconds(10)
  /// For a client to end its side once the server is done.
  public var lingering: Duration = .seconds(5)
  /// Between probes of a client whose input no process takes.
  public var probeInterval: Duration = .seconds(5)

  public init() {}
}
