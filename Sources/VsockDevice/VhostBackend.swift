import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// What QEMU has set up so far: features, memory, the rings. Applies requests; knows no socket but the
/// descriptors that came along.
struct VhostBackend {
  static let receiveRing = 0
  static let transmitRing = 1

  /// What the device has to do after a request, besides replying.
  enum Effect: Equatable {
    case none
    /// The guest's driver started anew: whatever it knew of connections is gone.
    case driverRestarted
  }

  struct Outcome {
    var reply: [UInt8]?
    var effect = Effect.none
  }

  let guestCID: UInt64
  private(set) var mapped = MappedMemory()
  private(set) var features: Features = []
  private(set) var protocolFeatures: ProtocolFeatures = []
  /// RX, TX and event; the event ring is only for a guest that was migrated, and stays unused.
  var rings: [Ring]

  init(guestCID: UInt64) {
    self.guestCID = guestCID
    rings = [Ring(.toGuest), Ring(.fromGuest), Ring(.toGuest)]
  }

  struct Ring {
    let direction: VirtQueue.Direction
    var size: UInt32 = 0
    var layout: VirtQueue.Layout?
    /// Where the ring starts, or has stopped.
    var position: UInt16 = 0
    var kick: FileDescriptor?
    var call: FileDescriptor?
    var isEnabled = false
    /// There while the ring runs.
    var queue: VirtQueue?

    init(_ direction: VirtQueue.Direction) { self.direction = direction }
  }

  /// Throws where QEMU breaks the protocol; the device must end then.
  mutating func apply(_ message: VhostUserMessage, _ descriptors: [FileDescriptor]) throws -> Outcome {
    var outcome = try apply(message.request, descriptors)
    if outcome.reply == nil, message.needsReply, protocolFeatures.contains(.replyAcknowledged) {
      outcome.reply = littleEndian(UInt64(0))
    }
    return outcome
  }

  private mutating func apply(_ request: VhostUserRequest, _ descriptors: [FileDescriptor]) throws -> Outcome {
    switch request {
    case .getFeatures: return Outcome(reply: littleEndian(Features.offered.rawValue))
    case .getProtocolFeatures: return Outcome(reply: littleEndian(ProtocolFeatures.offered.rawValue))
    case .getQueueCount: return Outcome(reply: littleEndian(UInt64(rings.count)))
    case .getConfiguration(let offset, let count): return Outcome(reply: configuration(offset, count))
    case .setOwner: return Outcome()
    case .setFeatures(let bits): try setFeatures(Features(rawValue: bits))
    case .setProtocolFeatures(let bits): protocolFeatures = ProtocolFeatures(rawValue: bits)
    case .setMemoryTable(let regions):
      mapped = try MappedMemory(regions, descriptors)
      for ring in rings.indices { try restart(ring) }
    case .resetOwner, .resetDevice:
      for ring in rings.indices { stop(ring) }
      return Outcome(effect: .driverRestarted)
    case .getRingBase(let ring):
      stop(ring)
      return Outcome(reply: littleEndian(UInt32(ring)) + littleEndian(UInt32(rings[ring].position)))
    default: return try applyToRing(request, descriptors)
    }
    return Outcome()
  }

  private mutating func applyToRing(_ request: VhostUserRequest, _ descriptors: [FileDescriptor]) throws -> Outcome {
    switch request {
    case .setRingSize(let ring, let size):
      try requireStopped(ring)
      rings[ring].size = size
    case .setRingBase(let ring, let position):
      try requireStopped(ring)
      // A machine that was only paused goes on where the ring stopped.
      let restarted = position != rings[ring].position
      rings[ring].position = position
      if restarted { return Outcome(effect: .driverRestarted) }
    case .setRingAddresses(let ring, let layout):
      rings[ring].layout = layout
      try restart(ring)
    case .setRingKick(let ring, let withoutDescriptor):
      guard !withoutDescriptor, let kick = descriptors.first else {
        throw DeviceFailure("QEMU asked for a polled ring, which this device does not offer")
      }
      rings[ring].kick = kick
      try restart(ring)
    case .setRingCall(let ring, let withoutDescriptor):
      rings[ring].call = withoutDescriptor ? nil : descriptors.first
      if let call = rings[ring].call { try neverBlock(call) }
    case .setRingEnabled(let ring, let isEnabled):
      rings[ring].isEnabled = isEnabled
      try restart(ring)
    default: break  // SET_VRING_ERR: our errors go to standard error
    }
    return Outcome()
  }

  private mutating func setFeatures(_ wanted: Features) throws {
    guard wanted.isSubset(of: .offered) else {
      throw DeviceFailure("QEMU set features that were not offered (\(wanted.subtracting(.offered).rawValue))")
    }
    features = wanted
    for ring in rings.indices { try restart(ring) }
  }

  /// `struct virtio_vsock_config` is the guest's CID (virtio 1.2, 5.10.4). Empty where asked beyond it.
  private func configuration(_ offset: UInt32, _ count: UInt32) -> [UInt8] {
    let space = littleEndian(guestCID)
    guard Int(offset) + Int(count) <= space.count else { return [] }
    let wanted = space[Int(offset)..<Int(offset) + Int(count)]
    return littleEndian(offset) + littleEndian(count) + littleEndian(UInt32(0)) + wanted
  }

  // MARK: Rings

  private func requireStopped(_ ring: Int) throws {
    guard rings[ring].queue == nil else { throw DeviceFailure("QEMU changed ring \(ring) while it ran") }
  }

  private mutating func stop(_ index: Int) {
    if let queue = rings[index].queue { rings[index].position = queue.position }
    rings[index].queue = nil
    rings[index].kick = nil
    rings[index].isEnabled = false
  }

  /// Lets the ring run, where it is, with what is set now; or not, if something is missing.
  private mutating func restart(_ index: Int) throws {
    if let queue = rings[index].queue { rings[index].position = queue.position }
    rings[index].queue = nil
    let ring = rings[index]
    let isEnabled = ring.isEnabled || !features.contains(.protocolFeatures)
    guard isEnabled, ring.kick != nil, ring.size > 0, let layout = ring.layout else { return }
    rings[index].queue = try VirtQueue(
      size: ring.size, layout: layout, position: ring.position, direction: ring.direction, features: features,
      memory: mapped.memory)
  }

  /// QEMU's end can be anything; a write to it must not hold the device.
  private func neverBlock(_ descriptor: FileDescriptor) throws {
    let flags = try systemCall("fcntl") { fcntl(descriptor.number, F_GETFL) }
    try systemCall("fcntl") { fcntl(descriptor.number, F_SETFL, flags | O_NONBLOCK) }
  }
}
