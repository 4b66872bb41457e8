import GRPCCore
import LinuxSystem

typealias ClientStream = GRPCStream<ClientStreamMachine>

/// The way from an RPC's tasks to its connection.
struct ClientLink: StreamLink {
  let loop: EventLoop<ClientCore>
  let connection: UInt64

  func wake(_ stream: ClientStream) {
    let isPosted = loop.post { [connection] core in
      if let connection = core.connections[connection] {
        connection.serveOrStart(stream)
      } else {
        stream.connectionLost("it was closed")
      }
    }
    if !isPosted { stream.connectionLost("the client was shut down") }
  }
}

/// A client's connections, on its loop: the current one, and earlier ones whose RPCs still run.
final class ClientCore: LoopCore {
  private let configuration: NGHTTP2ClientTransport.Configuration
  private let resources: LoopResources
  /// The connection takes no new streams.
  private let onUnusable: @Sendable (UInt64) -> Void
  private(set) var connections: [UInt64: Connection<ClientStreamMachine>] = [:]
  private var dirty: [Connection<ClientStreamMachine>] = []
  private var isShuttingDown = false

  init(
    _ poller: Poller, _ configuration: NGHTTP2ClientTransport.Configuration,
    onUnusable: @escaping @Sendable (UInt64) -> Void
  ) {
    self.resources = LoopResources(poller: poller)
    self.configuration = configuration
    self.onUnusable = onUnusable
  }

  /// Owns `descriptor` from now.
  func adopt(_ descriptor: Int32, id: UInt64) {
    do {
      let socket = try StreamSocket(owning: descriptor)
      guard !isShuttingDown else { return }
      connections[id] = try Connection(
        id: id, socket: socket, peer: "", local: "", role: .client, limits: configuration.http2,
        maxConcurrentStreams: 0, keepalive: configuration.keepalive, resources: resources, owner: self)
    } catch {
      onUnusable(id)
    }
  }

  func endOfTurn() -> Bool {
    let connections = dirty
    dirty = []
    for connection in connections { connection.flush() }
    if isShuttingDown, self.connections.isEmpty { resources.poller.isStopped = true }
    return !dirty.isEmpty
  }

  func beginShutdown() {
    isShuttingDown = true
    for connection in connections.values { connection.beginShutdown() }
  }

  func stop(_ reason: String) {
    isShuttingDown = true
    for connection in connections.values { connection.close(reason) }
  }

  func loopEnded() { stop("the client has ended") }
}

extension ClientCore: ConnectionOwner {
  /// Servers don't open streams; nghttp2 refuses a push that was not allowed.
  func open(_ request: [HeaderField], overflow: Bool, on id: Int32, of connection: Connection<ClientStreamMachine>)
    -> OpenedStream<ClientStreamMachine>?
  { nil }

  func isDraining(_ connection: Connection<ClientStreamMachine>) { onUnusable(connection.id) }

  func hasOutput(_ connection: Connection<ClientStreamMachine>) { dirty.append(connection) }

  func hasClosed(_ connection: Connection<ClientStreamMachine>) {
    connections[connection.id] = nil
    onUnusable(connection.id)
  }
}
