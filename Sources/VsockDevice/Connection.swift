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
    case refuse(Refusal)
    /// Pass on this packet's payload: report it by `accepted`, and `delivered` as the client takes it.
    case deliver
    /// End one or both directions of the client's socket.
    case shutdown(ShutdownFlags)
    case closeClient
  }

  /// Why a client is not connected, in the words that it hears.
  enum Refusal: String, Equatable, Sendable {
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

  var phase = Phase.greeting
  var guestPort: UInt32 = 0
  let hostPort: UInt32
  /// When patience ends, on the caller's clock of seconds; nil while nothing is waited for.
  var deadline: Int64?
  var owed: Owed = []
  var requestSent = false

  /// What the guest said by SHUTDOWN; bits are never taken back.
  var guestShutdown: ShutdownFlags = []
  /// What we told the guest, or owe to tell it.
  var hostShutdown: ShutdownFlags = []

  // Counters are modulo 2^32, as on the wire.
  var sent: UInt32 = 0
  var guestBufferSize: UInt32 = 0
  var guestForwarded: UInt32 = 0
  var received: UInt32 = 0
  var forwarded: UInt32 = 0
  var forwardedAnnounced: UInt32 = 0
  var askedForCredit = false

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

  // MARK: Moves that events share

  mutating func advance(_ count: UInt32) {
    forwarded &+= count
    if forwarded &- forwardedAnnounced >= Self.creditStep { owed.insert(.creditUpdate) }
  }

  mutating func reset(_ action: Action) -> Action {
    phase = .resetting
    owed = .reset
    deadline = nil
    return action
  }

  mutating func finish() {
    phase = .finished
    owed = []
    deadline = nil
  }
}
