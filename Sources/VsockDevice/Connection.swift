/// One stream between a client of the host and a port of the guest, as the virtio specification (1.2,
/// 5.10.6) has it: a pure value, packets and the client's doings in, what to do now out.
///
/// A connection goes through these phases:
/// - `greeting`: the client has connected to our socket and not yet named a port; the guest knows nothing.
/// - `requesting`: REQUEST is owed or sent, the guest's answer awaited.
/// - `open`: bytes flow; either side may have ended its half.
/// - `flushing`: the guest is done with it; what it sent before still goes to a slow client.
/// - `closing`: the client is gone and the guest knows (SHUTDOWN); its RST is awaited. What still comes
///   from the guest is dropped.
/// - `resetting`: only our RST to the guest is left to send.
/// - `finished`: the slot can be used again.
///
/// Illegal moves are the guest's: an operation that the phase does not know, or more payload than it
/// has credit for, resets the connection; nothing else is affected. The caller's order is trusted.
struct Connection: Sendable {
  /// How much of the guest's payload we hold for a client that does not read: our buf_alloc.
  static let bufferSize: UInt32 = 256 << 10
  /// The guest is told of freed space in steps of this, so that it never waits for the last byte.
  static let creditStep: UInt32 = 64 << 10

  enum Phase: Equatable, Sendable {
    case greeting, requesting, open, flushing(owesReset: Bool), closing, resetting, finished
  }

  /// How long phases that wait for a peer may last, in seconds.
  enum Patience {
    static let greeting: Int64 = 10
    static let request: Int64 = 10
    /// As long as Linux waits for the RST that ends a connection.
    static let close: Int64 = 8
    /// A client that closed with data unread by the guest, which gives no credit for it.
    static let abandoned: Int64 = 60
  }

  /// What the caller has to do with the client's socket.
  enum Action: Equatable, Sendable {
    case nothing
    /// Tell the client that the guest accepted.
    case greet
    /// Tell the client why not, and close its socket.
    case refuse(StaticReason)
    /// Pass on this packet's payload: report it by `accepted`, and `delivered` as the client takes it.
    case deliver
    /// End one or both directions of the client's socket.
    case shutdown(ShutdownFlags)
    case closeClient
  }

  enum StaticReason: String, Equatable, Sendable {
    case refused = "connection refused by the guest"
    case timedOut = "the guest did not answer in time"
    case protocolError = "the guest broke the vsock protocol"
    case deviceReset = "the guest's vsock device was reset"
  }

  /// Packets without payload that are to be sent, in this order.
  struct Owed: OptionSet, Sendable {
    let rawValue: UInt8
    static let reset = Owed(rawValue: 1)
    static let request = Owed(rawValue: 2)
    static let creditUpdate = Owed(rawValue: 4)
    static let creditRequest = Owed(rawValue: 8)
    static let shutdown = Owed(rawValue: 16)
  }

  private(set) var phase = Phase.greeting
  private(set) var guestPort: UInt32 = 0
  let hostPort: UInt32
  /// When patience ends, on the caller's clock of seconds; nil while nothing is waited for.
  private(set) var deadline: Int64?
  private(set) var owed: Owed = []
  private var requestSent = false

  /// What the guest said by SHUTDOWN; bits are never taken back.
  private(set) var guestShutdown: ShutdownFlags = []
  /// What we told the guest, or owe to tell it.
  private var hostShutdown: ShutdownFlags = []

  // Counters are modulo 2^32, as on the wire.
  private var sent: UInt32 = 0
  private var guestBufferSize: UInt32 = 0
  private var guestForwarded: UInt32 = 0
  private var received: UInt32 = 0
  private var forwarded: UInt32 = 0
  private var forwardedAnnounced: UInt32 = 0
  private var askedForCredit = false

  init(hostPort: UInt32, now: Int64) {
    self.hostPort = hostPort
    deadline = now + Patience.greeting
  }

  /// Payload from the guest that the client has not taken yet.
  var buffered: UInt32 { received &- forwarded }

  /// How many bytes the guest has room for. Zero also while the connection does not carry data to it.
  var sendAllowance: Int {
    guard phase == .open, hostShutdown.isEmpty, !guestShutdown.contains(.willNotReceive) else { return 0 }
    let inFlight = sent &- guestForwarded
    return inFlight < guestBufferSize ? Int(guestBufferSize - inFlight) : 0
  }

  /// Whether what the client sends can still go to the guest, now or with later credit.
  var wantsClientData: Bool {
    phase == .open && hostShutdown.isEmpty && !guestShutdown.contains(.willNotReceive)
  }
}

// MARK: - What the guest does

extension Connection {
  /// A packet of the guest's for this connection. `.deliver` comes for payload only.
  mutating func receive(_ packet: PacketHeader, now: Int64) -> Action {
    guestBufferSize = packet.bufferSize
    guestForwarded = packet.forwarded
    if sendAllowance > 0 { askedForCredit = false }
    switch phase {
    case .greeting, .finished: return .nothing
    case .requesting: return receiveWhileRequesting(packet)
    case .open: return receiveWhileOpen(packet)
    case .flushing:
      guard packet.operation == .payload || packet.operation == .request else {
        if packet.operation == .reset { phase = .flushing(owesReset: false) }
        return .nothing
      }
      return reset(.closeClient)
    case .closing:
      receiveWhileClosing(packet)
      return .nothing
    case .resetting:
      if packet.operation == .reset { finish() }
      return .nothing
    }
  }

  private mutating func receiveWhileRequesting(_ packet: PacketHeader) -> Action {
    switch packet.operation {
    case .response where requestSent:
      phase = .open
      deadline = nil
      return .greet
    case .reset:
      finish()
      return .refuse(.refused)
    default:
      return reset(.refuse(.protocolError))
    }
  }

  private mutating func receiveWhileOpen(_ packet: PacketHeader) -> Action {
    switch packet.operation {
    case .payload:
      let room = Self.bufferSize - min(buffered, Self.bufferSize)
      guard !guestShutdown.contains(.willNotSend), packet.length <= room else { return reset(.closeClient) }
      return packet.length > 0 ? .deliver : .nothing
    case .creditUpdate:
      return .nothing
    case .creditRequest:
      owed.insert(.creditUpdate)
      return .nothing
    case .shutdown:
      return receiveShutdown(ShutdownFlags(rawValue: packet.flags))
    case .reset:
      owed = []
      deadline = nil
      guard buffered == 0 else {
        phase = .flushing(owesReset: false)
        return .shutdown(.willNotReceive)
      }
      finish()
      return .closeClient
    case .request, .response, nil:
      return reset(.closeClient)
    }
  }

  private mutating func receiveShutdown(_ flags: ShutdownFlags) -> Action {
    let news = flags.intersection(.both).subtracting(guestShutdown)
    guestShutdown.formUnion(news)
    if guestShutdown == .both {
      guard buffered > 0 else { return reset(.closeClient) }
      phase = .flushing(owesReset: true)
      owed = []
      deadline = nil
      return .shutdown(.willNotReceive)
    }
    // The end of the guest's data reaches the client after the data.
    if news.contains(.willNotSend), buffered > 0 { return .nothing }
    return news.isEmpty ? .nothing : .shutdown(news)
  }

  private mutating func receiveWhileClosing(_ packet: PacketHeader) {
    switch packet.operation {
    case .reset:
      finish()
    case .payload:
      received &+= packet.length
      advance(packet.length)
    case .creditRequest:
      owed.insert(.creditUpdate)
    case .shutdown:
      guestShutdown.formUnion(ShutdownFlags(rawValue: packet.flags).intersection(.both))
      if guestShutdown == .both { _ = reset(.nothing) }
    case .creditUpdate: break
    case .request, .response, nil: _ = reset(.nothing)
    }
  }
}

// MARK: - What the client does

extension Connection {
  /// The client named the guest's port.
  mutating func connect(to port: UInt32, now: Int64) {
    guestPort = port
    phase = .requesting
    owed = .request
    deadline = now + Patience.request
  }

  /// The payload of the packet that was to be delivered is ours now, in the client's socket or buffered.
  mutating func accepted(_ count: UInt32) { received &+= count }

  /// The client (or nobody, if it went away) has taken this many bytes.
  mutating func delivered(_ count: UInt32) -> Action {
    advance(count)
    guard buffered == 0 else { return .nothing }
    switch phase {
    case .flushing(owesReset: true): return reset(.closeClient)
    case .flushing(owesReset: false):
      finish()
      return .closeClient
    case .open where guestShutdown.contains(.willNotSend): return .shutdown(.willNotSend)
    default: return .nothing
    }
  }

  /// Payload of the client's went into a packet.
  mutating func sent(_ count: Int) { sent &+= UInt32(truncatingIfNeeded: count) }

  /// All that the client sent has been passed on, and it will send no more.
  mutating func clientFinishedSending() {
    guard wantsClientData else { return }
    hostShutdown = .willNotSend
    owed.insert(.shutdown)
  }

  /// The client closed its socket, while data of its may remain to be passed on.
  mutating func clientHungUp(now: Int64) {
    if deadline == nil, phase == .open { deadline = now + Patience.abandoned }
  }

  /// The client is gone, and all that it sent has been passed on or cannot be.
  mutating func clientWentAway(now: Int64) {
    switch phase {
    case .greeting: finish()
    case .requesting:
      if requestSent { _ = reset(.nothing) } else { finish() }
    case .open:
      advance(buffered)
      phase = .closing
      hostShutdown = .both
      owed.insert(.shutdown)
      deadline = now + Patience.close
    case .flushing(let owesReset):
      advance(buffered)
      if owesReset { _ = reset(.nothing) } else { finish() }
    case .closing, .resetting, .finished: break
    }
  }

  /// The deadline passed.
  mutating func expired() -> Action {
    deadline = nil
    switch phase {
    case .greeting:
      finish()
      return .closeClient
    case .requesting:
      if requestSent { return reset(.refuse(.timedOut)) }
      finish()
      return .refuse(.timedOut)
    case .open, .closing: return reset(.closeClient)
    case .flushing, .resetting, .finished: return .nothing
    }
  }

  /// The guest's driver started anew: it has forgotten every connection that it ever heard of.
  mutating func deviceReset() -> Action {
    switch phase {
    case .greeting: return .nothing
    case .requesting:
      guard requestSent else { return .nothing }
      finish()
      return .refuse(.deviceReset)
    case .open, .flushing, .closing, .resetting, .finished:
      finish()
      return .closeClient
    }
  }
}

// MARK: - What is sent to the guest

extension Connection {
  /// Asks the guest to say how much room it has, once per stall.
  mutating func stalledForCredit() {
    guard !askedForCredit else { return }
    askedForCredit = true
    owed.insert(.creditRequest)
  }

  /// The next packet without payload that is owed; the caller does send it.
  mutating func takeOwed(guestCID: UInt64) -> PacketHeader? {
    if owed.contains(.reset) {
      let packet = header(.reset, guestCID: guestCID)
      finish()
      return packet
    }
    if owed.remove(.request) != nil {
      requestSent = true
      return header(.request, guestCID: guestCID)
    }
    if owed.contains(.creditUpdate) { return header(.creditUpdate, guestCID: guestCID) }
    if owed.remove(.creditRequest) != nil { return header(.creditRequest, guestCID: guestCID) }
    if owed.remove(.shutdown) != nil {
      var packet = header(.shutdown, guestCID: guestCID)
      packet.flags = hostShutdown.rawValue
      return packet
    }
    return nil
  }

  /// The header of a packet from us; every one carries our credit.
  mutating func header(_ operation: PacketHeader.Operation, length: Int = 0, guestCID: UInt64) -> PacketHeader {
    forwardedAnnounced = forwarded
    owed.remove(.creditUpdate)
    return PacketHeader(
      sourceCID: PacketHeader.hostCID, destinationCID: guestCID, sourcePort: hostPort, destinationPort: guestPort,
      length: UInt32(truncatingIfNeeded: length), rawOperation: operation.rawValue,
      bufferSize: Self.bufferSize, forwarded: forwarded)
  }

  private mutating func advance(_ count: UInt32) {
    forwarded &+= count
    if forwarded &- forwardedAnnounced >= Self.creditStep { owed.insert(.creditUpdate) }
  }

  private mutating func reset(_ action: Action) -> Action {
    phase = .resetting
    owed = .reset
    deadline = nil
    return action
  }

  private mutating func finish() {
    phase = .finished
    owed = []
    deadline = nil
  }
}
