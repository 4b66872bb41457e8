import CVhost
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// The vhost-user-vsock device of one VM: one thread, one epoll loop, between QEMU's connection, the
/// two rings and the clients.
///
/// A turn of the loop takes events (which only note what may be done), then moves packets from the
/// guest, then to the guest, both within a budget so that neither starves the other, and tells the
/// guest at once. Invariants:
/// - Nothing that comes from the guest or a client makes anything grow: slots, waiting resets and each
///   connection's backlog are bounded.
/// - A connection with something for the guest is in `waiting` exactly once; they take turns.
/// - If resets cannot be sent because the guest offers no buffers, its packets wait too.
public final class Device {
  public struct Configuration: Sendable {
    public var guestCID: UInt32
    /// Connections at once, at most 4096.
    public var capacity: Int
    /// How long QEMU may take to connect, in seconds.
    public var patience: Int64

    public init(guestCID: UInt32, capacity: Int = 4096, patience: Int64 = 60) {
      self.guestCID = guestCID
      self.capacity = capacity
      self.patience = patience
    }
  }

  /// Packets a turn, either way.
  static let turnBudget = 256
  /// Packets for one connection before the next has its turn.
  static let burst = 16
  static let maximumResets = 256
  /// Packets of the guest's that were taken without telling it. All that it does when told is to free them, and it does
  /// so too when it is woken for packets to it; to wake it for each of its own costs an idle guest as much as to ask it
  /// something. At 64 KiB a packet, half a megabyte of its memory waits.
  static let transmitPatience: UInt16 = 8

  let guestCID: UInt64
  var epoll: Epoll
  var vhostListener: FileDescriptor?
  let clientListener: FileDescriptor
  var channel: VhostUserChannel?
  var backend: VhostBackend
  var table: ConnectionTable<Client>
  /// Slots whose connection may have something for the guest.
  var waiting: BoundedQueue<Int>
  var isWaiting: ContiguousArray<Bool>
  /// RSTs for packets that belong to no connection.
  var resets = BoundedQueue(capacity: Device.maximumResets, filling: Device.noReset)
  var scatter = ScatterList()
  /// The guest may have put packets into the TX ring.
  var hasPackets = false
  /// The RX ring is empty; a kick will say when it is not.
  var isStarved = false
  /// Kept when a client has caught up, for the next that does not.
  var spareBacklog: ByteRing?
  var isAccepting = true
  var now = monotonicSeconds()
  var nextSweep: Int64?
  private var watchedKicks: [FileDescriptor?]
  private let patienceEnds: Int64

  private static let noReset = PacketHeader(
    sourceCID: 0, destinationCID: 0, sourcePort: 0, destinationPort: 0, rawOperation: 0)

  /// Takes the two listening sockets, which must not block.
  public init(vhostListener: Int32, clientListener: Int32, _ configuration: Configuration) throws {
    guestCID = UInt64(configuration.guestCID)
    self.vhostListener = FileDescriptor(vhostListener)
    self.clientListener = FileDescriptor(clientListener)
    backend = VhostBackend(guestCID: guestCID)
    watchedKicks = backend.rings.map(\.kick)
    table = ConnectionTable(capacity: configuration.capacity)
    waiting = BoundedQueue(capacity: table.capacity, filling: 0)
    isWaiting = ContiguousArray(repeating: false, count: table.capacity)
    patienceEnds = now + configuration.patience
    epoll = try Epoll()
    try epoll.add(vhostListener, .vhostListener, .readable)
    try epoll.add(clientListener, .clientListener, .readable)
  }

  /// Runs the device on the calling thread. Returns when QEMU closes its connection, or has not made
  /// one in time; throws `DeviceFailure` if the guest or QEMU broke a protocol, `SystemError` if the
  /// host failed us.
  public func serve() throws {
    while true {
      let count = try epoll.wait(timeout: timeout)
      now = monotonicSeconds()
      for index in 0..<count {
        guard let (source, readiness) = epoll.event(index) else { continue }
        guard try handle(source, readiness) else { return }
      }
      try takePackets()
      try sendPackets()
      announce(VhostBackend.receiveRing)
      announce(VhostBackend.transmitRing, patience: Self.transmitPatience)
      try sweep()
      if channel == nil, now >= patienceEnds { return }
    }
  }

  /// Milliseconds that the loop may sleep.
  private var timeout: Int32 {
    if mayTakePackets || maySendPackets { return 0 }
    if channel == nil { return 1000 }
    return nextSweep == nil ? -1 : 1000
  }

  /// False when QEMU is gone.
  private func handle(_ source: EventSource, _ readiness: Readiness) throws -> Bool {
    switch source {
    case .vhostListener: try acceptQEMU()
    case .vhostChannel: return try handleMessages()
    case .clientListener: try acceptClients()
    case .kick(VhostBackend.transmitRing): hasPackets = true
    case .kick(VhostBackend.receiveRing): isStarved = false
    case .kick: break
    case .client(let hostPort):
      if let index = table.index(ofPort: hostPort) { handleClient(index, readiness) }
    }
    return true
  }

  // MARK: QEMU

  /// One QEMU, for good: the listening socket is closed.
  private func acceptQEMU() throws {
    guard let listener = vhostListener else { return }
    let socket = cvhost_accept(listener.number)
    guard socket >= 0 else { return }
    channel = VhostUserChannel(FileDescriptor(socket))
    try epoll.add(socket, .vhostChannel, .readable)
    vhostListener = nil
  }

  private func handleMessages() throws -> Bool {
    while true {
      switch try channel?.next() {
      case .message(let message, let descriptors)?:
        let outcome = try backend.apply(message, descriptors)
        try apply(outcome.effect)
        if let reply = outcome.reply { try channel?.send(VhostUserMessage.reply(to: message.code, payload: reply)) }
      case .nothing?: return true
      case .closed?, nil: return false
      }
    }
  }

  private func apply(_ effect: VhostBackend.Effect) throws {
    for ring in backend.rings.indices { try watchKicks(of: ring) }
    if effect == .driverRestarted {
      resets.removeAll()
      for index in table.slots.indices where table.isUsed(index) {
        perform(table.slots[index].connection.deviceReset(), index)
        settle(index)
      }
    }
    // Whatever changed, the rings are worth a look.
    hasPackets = true
    isStarved = false
  }

  /// Edge-triggered: each kick is an event, and the counter need never be read. QEMU holds the
  /// descriptor too, so that closing ours would not end the watch.
  private func watchKicks(of ring: Int) throws {
    let kick = backend.rings[ring].kick
    guard kick !== watchedKicks[ring] else { return }
    if let old = watchedKicks[ring] { try epoll.remove(old.number) }
    watchedKicks[ring] = kick
    if let kick { try epoll.add(kick.number, .kick(ring: ring), [.readable, .edgeTriggered]) }
  }

  /// Tells the guest of what was done in a ring.
  private func announce(_ ring: Int, patience: UInt16 = 0) {
    guard backend.rings[ring].queue?.announcementDue(patience: patience) == true, let call = backend.rings[ring].call
    else { return }
    var one: UInt64 = 1
    // Nothing to do about failure: EAGAIN means that it has been told.
    write(call.number, &one, MemoryLayout.size(ofValue: one))
  }

  // MARK: Time

  /// Once a second, while a connection waits for someone or clients wait for a descriptor.
  private func sweep() throws {
    guard let due = nextSweep, now >= due else { return }
    nextSweep = nil
    if !isAccepting { try acceptClients(true) }
    for index in table.slots.indices where table.isUsed(index) {
      guard let deadline = table.slots[index].connection.deadline else { continue }
      if now >= deadline {
        perform(table.slots[index].connection.expired(), index)
        settle(index)
      } else {
        nextSweep = now + 1
      }
    }
  }
}
