import GRPCCore
import LinuxSystem
import Synchronization

typealias ServerStream = GRPCStream<ServerStreamMachine>

/// The way from the tasks that handle RPCs to the server's loop.
final class ServerLink: Sendable {
  private let loop = Mutex<EventLoop<ServerCore>?>(nil)

  func attach(_ loop: EventLoop<ServerCore>) { self.loop.withLock { $0 = loop } }

  func post(_ job: @escaping EventLoop<ServerCore>.Job) -> Bool {
    loop.withLock { $0 }?.post(job) ?? false
  }
}

/// One connection's part of it.
struct ServerStreamLink: StreamLink {
  let link: ServerLink
  let connection: UInt64

  func wake(_ stream: ServerStream) {
    _ = link.post { [connection] core in core.connections[connection]?.serve(stream) }
  }
}

/// A server's sockets and connections, on its loop.
final class ServerCore: LoopCore {
  typealias Handler =
    @Sendable (
      RPCStream<NGHTTP2ServerTransport.Inbound, NGHTTP2ServerTransport.Outbound>, ServerContext
    ) async -> Void

  let configuration: NGHTTP2ServerTransport.Configuration
  let handlers: HandlerTasks
  let handler: Handler
  let link: ServerLink
  private let resources: LoopResources
  private var listeners: [ListeningSocket]
  private(set) var connections: [UInt64: Connection<ServerStreamMachine>] = [:]
  private var dirty: [Connection<ServerStreamMachine>] = []
  private var nextID: UInt64 = 0
  private var isShuttingDown = false

  init(
    _ poller: Poller, _ listeners: [ListeningSocket], _ configuration: NGHTTP2ServerTransport.Configuration,
    _ link: ServerLink, _ handlers: HandlerTasks, _ handler: @escaping Handler
  ) {
    self.resources = LoopResources(poller: poller)
    self.listeners = listeners
    self.configuration = configuration
    self.link = link
    self.handlers = handlers
    self.handler = handler
    for listener in listeners { watch(listener) }
  }

  private func watch(_ listener: ListeningSocket) {
    do {
      try resources.poller.add(listener.descriptor, .read) { [unowned self] _ in accept(from: listener) }
    } catch {
      pause(listener)
    }
  }

  private func accept(from listener: ListeningSocket) {
    for _ in 0..<16 {
      switch listener.accept() {
      case .none: return
      case .refused: continue
      case .exhausted: return pause(listener)
      case .connection(let socket, let peer):
        if connections.count < configuration.maxConnections { adopt(socket, peer, listener) }
      }
    }
  }

  /// Without descriptors the listener would stay ready, and the loop busy, until one is free.
  private func pause(_ listener: ListeningSocket) {
    resources.poller.remove(listener.descriptor)
    _ = resources.poller.after(.milliseconds(100)) { [unowned self] in
      if !isShuttingDown { watch(listener) }
    }
  }

  private func adopt(_ socket: StreamSocket, _ peer: String, _ listener: ListeningSocket) {
    nextID += 1
    // A failure is the kernel's or nghttp2's lack of memory: the connection is closed, the server lives.
    connections[nextID] = try? Connection(
      id: nextID, socket: socket, peer: peer, local: listener.name, role: .server, limits: configuration.http2,
      maxConcurrentStreams: configuration.maxConcurrentStreams, keepalive: configuration.keepalive,
      resources: resources, owner: self)
  }

  func endOfTurn() -> Bool {
    let connections = dirty
    dirty = []
    for connection in connections { connection.flush() }
    if isShuttingDown, self.connections.isEmpty { resources.poller.isStopped = true }
    return !dirty.isEmpty
  }

  func beginShutdown() {
    guard !isShuttingDown else { return }
    isShuttingDown = true
    closeListeners()
    for connection in connections.values { connection.beginShutdown() }
    // For clients that don't answer the ping: they are told without it.
    _ = resources.poller.after(.seconds(1)) { [unowned self] in
      for connection in connections.values { connection.refuseNewStreams() }
    }
    _ = resources.poller.after(configuration.shutdownGracePeriod) { [unowned self] in
      stop("the server's grace period is over")
    }
  }

  func stop(_ reason: String) {
    isShuttingDown = true
    closeListeners()
    for connection in connections.values { connection.close(reason) }
  }

  func loopEnded() { stop("the server has ended") }

  private func closeListeners() {
    for listener in listeners {
      resources.poller.remove(listener.descriptor)
      listener.close()
    }
    listeners = []
  }
}

extension ServerCore: ConnectionOwner {
  func isDraining(_ connection: Connection<ServerStreamMachine>) {}

  func hasOutput(_ connection: Connection<ServerStreamMachine>) { dirty.append(connection) }

  func hasClosed(_ connection: Connection<ServerStreamMachine>) { connections[connection.id] = nil }

  func open(
    _ request: [HeaderField], overflow: Bool, on id: Int32, of connection: Connection<ServerStreamMachine>
  ) -> OpenedStream<ServerStreamMachine>? {
    do throws(RequestHead.Refusal) {
      if overflow {
        let limit = configuration.http2.maxHeaderListSize
        throw RequestHead.Refusal(.resourceExhausted, "the request's header list is larger than \(limit) bytes")
      }
      return accept(try RequestHead(request), on: id, of: connection)
    } catch {
      connection.session?.submitResponse(error.fields, endStream: true, on: id)
      return nil
    }
  }

  private func accept(_ head: RequestHead, on id: Int32, of connection: Connection<ServerStreamMachine>)
    -> OpenedStream<ServerStreamMachine>
  {
    let machine = ServerStreamMachine(
      maxReceiveSize: configuration.maxRequestMessageSize, maxSendSize: configuration.maxResponseMessageSize)
    let stream = ServerStream(
      key: UInt64(id), machine: machine, limits: configuration.http2,
      link: ServerStreamLink(link: link, connection: connection.id))
    stream.deliver(.metadata(head.metadata))
    run(stream, head, connection)
    return OpenedStream(stream: stream, timeout: head.timeout)
  }

  /// The handler's task belongs to the stream, which cancels it, and to `listen`, which awaits it.
  private func run(_ stream: ServerStream, _ head: RequestHead, _ connection: Connection<ServerStreamMachine>) {
    let (peer, local) = (connection.peer, connection.local)
    let descriptor = MethodDescriptor(fullyQualifiedService: head.service, method: head.method)
    let deadline = head.timeout.map { ContinuousClock.now + $0 }
    handlers.enter()
    let task = Task { [handler, handlers] in
      await withServerContextRPCCancellationHandle { cancellation in
        var context = ServerContext(
          descriptor: descriptor, remotePeer: peer, localPeer: local, cancellation: cancellation)
        context.transportSpecific = NGHTTP2ServerContext(deadline: deadline)
        let rpc = RPCStream(
          descriptor: descriptor, inbound: RPCAsyncSequence(wrapping: StreamParts(stream)),
          outbound: RPCWriter.Closable(wrapping: StreamWriter(stream)))
        await withTaskCancellationHandler {
          await handler(rpc, context)
        } onCancel: {
          cancellation.cancel()
        }
      }
      stream.finishWriting()
      handlers.leave()
    }
    stream.onFailure { _ in task.cancel() }
  }
}
