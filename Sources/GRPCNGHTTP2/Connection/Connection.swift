import LinuxSystem

/// What a connection tells the core that owns it. On the loop's thread.
protocol ConnectionOwner<Machine>: AnyObject {
  associatedtype Machine: StreamMachine
  /// A request came in. Nil if it was answered already.
  func open(_ request: [HeaderField], overflow: Bool, on stream: Int32, of connection: Connection<Machine>)
    -> OpenedStream<Machine>?
  /// The peer takes no new streams on this connection.
  func isDraining(_ connection: Connection<Machine>)
  func hasOutput(_ connection: Connection<Machine>)
  func hasClosed(_ connection: Connection<Machine>)
}

struct OpenedStream<Machine: StreamMachine> {
  var stream: GRPCStream<Machine>
  var timeout: Duration?
}

/// One socket, its HTTP/2 session and its streams. Stays on the loop's thread.
///
/// Nothing is written while events are handled: a connection with something to send tells its owner,
/// which calls `flush` once at the end of the turn, so that what belongs together goes out together.
final class Connection<Machine: StreamMachine> {
  /// A stream's state that only the loop needs.
  final class Entry {
    let stream: GRPCStream<Machine>
    var queue = SendQueue()
    /// nghttp2 was told to wait for data.
    var isWaiting = false
    var sentBytes = 0
    var hasSentEnd = false
    var deadline: TimerQueue.ID?

    init(_ stream: GRPCStream<Machine>) { self.stream = stream }
  }

  enum Phase: Equatable {
    case open
    /// Our GOAWAY that refuses nothing yet is out.
    case announced
    /// No new streams, from either side; the connection closes with its last one.
    case draining
    case closed
  }

  let id: UInt64
  let peer: String
  let local: String
  let resources: LoopResources
  let keepalive: Keepalive
  unowned let owner: any ConnectionOwner<Machine>
  private let socket: StreamSocket
  private(set) var session: HTTP2Session?
  var phase = Phase.open
  var entries: [Int32: Entry] = [:]
  /// HTTP/2's number of each stream, by its key.
  var ids: [UInt64: Int32] = [:]
  /// Streams some of whose data went into the output since they were last told.
  var senders: [Entry] = []
  var isDirty = false
  var lastReceived = ContinuousClock.now
  var timer: TimerQueue.ID?
  /// What the socket did not take.
  private var tail: [UInt8] = []
  private var interest: Poller.Events = .read

  init(
    id: UInt64, socket: StreamSocket, peer: String, local: String, role: HTTP2Session.Role, limits: HTTP2Limits,
    maxConcurrentStreams: UInt32, keepalive: Keepalive, resources: LoopResources,
    owner: any ConnectionOwner<Machine>
  ) throws {
    self.id = id
    self.socket = socket
    self.peer = peer
    self.local = local
    self.resources = resources
    self.keepalive = keepalive
    self.owner = owner
    self.session = try HTTP2Session(
      role: role, limits: limits, maxConcurrentStreams: maxConcurrentStreams, delegate: self)
    try resources.poller.add(socket.descriptor, .read) { [unowned self] events in self.ready(events) }
    startKeepalive()
    markDirty()
  }

  func markDirty() {
    guard !isDirty, phase != .closed else { return }
    isDirty = true
    owner.hasOutput(self)
  }

  private func ready(_ events: Poller.Events) {
    if !events.isDisjoint(with: [.read, .error, .hangUp]) { read() }
    markDirty()
  }

  // A few buffers at a time, so that one busy peer does not starve the others.
  private func read() {
    for _ in 0..<4 {
      guard phase != .closed, let session else { return }
      do {
        switch try socket.receive(into: resources.readBuffer) {
        case .wouldBlock: return
        case .endOfStream: return close("the peer closed it")
        case .bytes(let count):
          lastReceived = .now
          try session.receive(UnsafeRawBufferPointer(rebasing: resources.readBuffer[..<count]))
          if count < resources.readBuffer.count { return }
        }
      } catch {
        return close(Self.reason(error))
      }
    }
  }

  /// Sends what there is to send, as far as the socket takes it.
  func flush() {
    isDirty = false
    guard phase != .closed, let session else { return }
    do {
      try sendTail()
      for _ in 0..<4 where tail.isEmpty {
        resources.output.removeAll()
        try session.fill(resources.output)
        if resources.output.count == 0 { break }
        try send(resources.output.bytes)
      }
      reportSent()
      if tail.isEmpty, !session.isAlive { return close("it was shut down") }
      if tail.isEmpty, resources.output.isFull { markDirty() }
      try setInterest()
    } catch {
      close(Self.reason(error))
    }
  }

  private func sendTail() throws {
    guard !tail.isEmpty else { return }
    let pending = tail
    tail = []
    try pending.withUnsafeBytes { try send($0) }
  }

  private func send(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes
    while !rest.isEmpty {
      guard case .bytes(let count) = try socket.send(rest) else {
        tail = Array(rest)
        return
      }
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
    }
  }

  /// A peer that sends much and reads nothing would make nghttp2's queue of answers grow: past a point
  /// it has to read before it is heard again.
  private func setInterest() throws {
    let isChoked = !tail.isEmpty && (session?.queuedFrames ?? 0) > 8192
    let wanted: Poller.Events = tail.isEmpty ? .read : isChoked ? .write : [.read, .write]
    guard wanted != interest else { return }
    interest = wanted
    try resources.poller.change(socket.descriptor, wanted)
  }

  private func reportSent() {
    for entry in senders {
      entry.stream.sent(bytes: entry.sentBytes)
      entry.sentBytes = 0
    }
    senders.removeAll(keepingCapacity: true)
  }

  /// Closes the socket; running RPCs end as UNAVAILABLE.
  func close(_ reason: String) {
    guard phase != .closed else { return }
    phase = .closed
    resources.poller.remove(socket.descriptor)
    if let timer { resources.poller.cancel(timer) }
    let entries = self.entries
    self.entries = [:]
    ids = [:]
    senders = []
    for entry in entries.values {
      if let deadline = entry.deadline { resources.poller.cancel(deadline) }
      entry.stream.connectionLost(reason)
    }
    owner.hasClosed(self)
  }

  private static func reason(_ error: any Error) -> String {
    (error as? HTTP2Failure)?.reason ?? (error as? SystemError)?.description ?? "\(error)"
  }
}
