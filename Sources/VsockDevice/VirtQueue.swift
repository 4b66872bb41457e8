import CVhost

/// The device's end of a split virtqueue (virtio 1.2, 2.7), and the one place where what the guest put
/// into a ring is checked: indexes, chain length and loops, direction, addresses.
///
/// Chains are used strictly in order and one at a time: `next` looks at the oldest that is available
/// without taking it, `complete` gives it back. So nothing is ever in flight between two events, and
/// the used index always equals the available index that we have reached.
struct VirtQueue {
  /// The specification allows 32768; QEMU at most 1024, and 128 for vsock.
  static let maximumSize = 1024

  enum Direction: Sendable {
    /// Chains that we read (TX).
    case fromGuest
    /// Chains that we write (RX).
    case toGuest
  }

  /// Where the three parts lie, as QEMU addresses.
  struct Layout: Equatable, Sendable {
    var descriptors: UInt64
    var available: UInt64
    var used: UInt64
  }

  /// A chain whose every segment has been found good. `segments` holds its memory until the next call.
  struct Chain: Equatable, Sendable {
    let head: UInt16
    /// Bytes of all its segments.
    let count: Int
  }

  private let size: UInt16
  private let direction: Direction
  private let features: Features
  private let descriptors: SharedBytes
  private let available: SharedBytes
  private let used: SharedBytes
  /// The index of the next chain to take; modulo 2^16 as in the ring.
  private(set) var position: UInt16
  /// `position` when the guest was last told.
  private var announced: UInt16
  /// In segments, of those completed so far: descriptors at most, if none is indirect.
  private var longestChain = 1
  /// The memory of the chain that `next` last returned, in order.
  private(set) var segments: ContiguousArray<SharedBytes> = []

  /// Throws if the size is not a power of two up to `maximumSize`, or a part does not lie aligned in
  /// one memory region.
  init(
    size: UInt32, layout: Layout, position: UInt16, direction: Direction, features: Features, memory: GuestMemory
  ) throws(DeviceFailure) {
    guard size > 0, size <= Self.maximumSize, size & (size - 1) == 0 else {
      throw DeviceFailure("QEMU set up a ring of \(size) entries; it must be a power of two up to \(Self.maximumSize)")
    }
    let entries = Int(size)
    guard let descriptors = memory.span(user: layout.descriptors, count: 16 * entries, alignment: 16),
      let available = memory.span(user: layout.available, count: 6 + 2 * entries, alignment: 2),
      let used = memory.span(user: layout.used, count: 6 + 8 * entries, alignment: 4)
    else { throw DeviceFailure("QEMU set up a ring that does not lie aligned within the guest's memory") }
    self.size = UInt16(size)
    self.direction = direction
    self.features = features
    self.descriptors = descriptors
    self.available = available
    self.used = used
    self.position = position
    self.announced = position
    segments.reserveCapacity(entries)
  }

  /// The oldest available chain, or nil if there is none. Throws if the ring or the chain breaks the
  /// rules: the device must not go on then, for nothing in the ring can be trusted.
  mutating func next(in memory: GuestMemory) throws(DeviceFailure) -> Chain? {
    let waiting = available.loadAcquire16(at: 2) &- position
    guard waiting != 0 else { return nil }
    guard waiting <= size else {
      throw DeviceFailure("the guest made \(waiting) buffers available in a ring of \(size)")
    }
    let head = available.load16(at: 4 + 2 * Int(position & (size - 1)))
    segments.removeAll(keepingCapacity: true)
    return Chain(head: head, count: try walk(from: head, memory))
  }

  /// Gives the chain that `next` returned back to the guest, with `written` bytes in it.
  mutating func complete(_ chain: Chain, written: Int) {
    let entry = 4 + 8 * Int(position & (size - 1))
    used.store32(UInt32(chain.head), at: entry)
    used.store32(UInt32(truncatingIfNeeded: written), at: entry + 4)
    position &+= 1
    longestChain = max(longestChain, segments.count)
    used.storeRelease16(position, at: 2)
  }

  // MARK: Packet headers

  /// The header at the front of the chain that `next` returned; nil if it is too short for one. A copy:
  /// the guest cannot change it any more.
  func header(of chain: Chain) -> PacketHeader? {
    guard chain.count >= PacketHeader.byteCount else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: PacketHeader.byteCount, alignment: 8) { copy in
      eachPartOfHeader(copy) { memory, bytes in memory.copy(to: bytes) }
      return PacketHeader(UnsafeRawBufferPointer(copy))
    }
  }

  /// Writes a header to the front of the chain that `next` returned, which must have room for it.
  func write(_ header: PacketHeader) {
    withUnsafeTemporaryAllocation(byteCount: PacketHeader.byteCount, alignment: 8) { copy in
      header.encode(into: copy)
      eachPartOfHeader(copy) { memory, bytes in memory.fill(from: bytes) }
    }
  }

  /// A driver may cut a packet into segments wherever it likes (virtio 1.2, 2.7.4), its header too.
  private func eachPartOfHeader(
    _ copy: UnsafeMutableRawBufferPointer, _ body: (SharedBytes, UnsafeMutableRawPointer) -> Void
  ) {
    guard let base = copy.baseAddress else { return }
    var done = 0
    for segment in segments where done < copy.count {
      let part = segment.slice(from: 0, count: min(segment.count, copy.count - done))
      body(part, base + done)
      done += part.count
    }
  }

  // MARK: Chains

  /// Collects the segments of a chain; returns their total length.
  private mutating func walk(from head: UInt16, _ memory: GuestMemory) throws(DeviceFailure) -> Int {
    var index = head
    var total = 0
    for _ in 0..<size {
      guard index < size else { throw DeviceFailure("the guest used descriptor \(index) in a ring of \(size)") }
      let descriptor = descriptors.loadDescriptor(at: Descriptor.byteCount * Int(index))
      if descriptor.flags.contains(.indirect) {
        return total + (try walkIndirect(descriptor, memory))
      }
      total += try append(descriptor, memory)
      guard descriptor.flags.contains(.next) else { return total }
      index = descriptor.next
    }
    throw DeviceFailure("the guest chained more descriptors than its ring of \(size) has")
  }

  /// A table of descriptors somewhere in guest memory (virtio 1.2, 2.7.5.3); it ends its chain.
  private mutating func walkIndirect(_ indirect: Descriptor, _ memory: GuestMemory) throws(DeviceFailure) -> Int {
    guard features.contains(.indirectDescriptors) else {
      throw DeviceFailure("the guest used an indirect descriptor without having negotiated them")
    }
    let entries = indirect.length / UInt32(Descriptor.byteCount)
    guard !indirect.flags.contains(.next), entries > 0, entries <= Self.maximumSize,
      indirect.length % UInt32(Descriptor.byteCount) == 0,
      let table = memory.run(at: indirect.address, atMost: indirect.length), table.count == Int(indirect.length)
    else { throw DeviceFailure("the guest used a bad indirect descriptor (\(indirect.length) bytes)") }
    var index = UInt32(0)
    var total = 0
    for _ in 0..<entries {
      guard index < entries else {
        throw DeviceFailure("the guest used descriptor \(index) of an indirect table of \(entries)")
      }
      let descriptor = table.loadDescriptor(at: Descriptor.byteCount * Int(index))
      guard !descriptor.flags.contains(.indirect) else {
        throw DeviceFailure("the guest nested indirect descriptors")
      }
      total += try append(descriptor, memory)
      guard descriptor.flags.contains(.next) else { return total }
      index = UInt32(descriptor.next)
    }
    throw DeviceFailure("the guest chained more descriptors than its indirect table of \(entries) has")
  }

  private mutating func append(_ descriptor: Descriptor, _ memory: GuestMemory) throws(DeviceFailure) -> Int {
    guard descriptor.flags.contains(.deviceWrites) == (direction == .toGuest) else {
      throw DeviceFailure(
        "the guest put a \(direction == .toGuest ? "read-only" : "write-only") buffer into the wrong queue")
    }
    guard !descriptor.address.addingReportingOverflow(UInt64(descriptor.length)).overflow else {
      throw DeviceFailure("the guest used a buffer that wraps around its memory")
    }
    var address = descriptor.address
    var left = descriptor.length
    while left > 0 {
      guard let run = memory.run(at: address, atMost: left) else {
        throw DeviceFailure("the guest used a buffer outside its memory (at \(address), \(left) bytes)")
      }
      segments.append(run)
      address += UInt64(run.count)
      left -= UInt32(run.count)
    }
    return Int(descriptor.length)
  }

  // MARK: Notifications (virtio 1.2, 2.7.7 and 2.7.10)

  /// Asks for a kick with the next available chain. True if one is there already: the kick for it may
  /// not come.
  mutating func requestKick() -> Bool {
    if features.contains(.eventIndex) {
      used.store16(position, at: 4 + 8 * Int(size))
    } else {
      used.store16(0, at: 0)
    }
    cvhost_fence()
    return available.loadAcquire16(at: 2) != position
  }

  /// Says that we look at the ring anyway. (With event indexes, not asking is enough.)
  mutating func suppressKicks() {
    if !features.contains(.eventIndex) { used.store16(1, at: 0) }
  }

  /// Whether the guest wants to be told of what was completed since it last was. `patience`: completed chains that it
  /// need not hear of before there are more; fewer where they could take more than a quarter of the ring, for room in which
  /// it may be waiting.
  mutating func announcementDue(patience: UInt16 = 0) -> Bool {
    let patience = min(patience, size / 4 / UInt16(clamping: longestChain))
    let previous = announced
    let since = position &- previous
    guard since != 0 else { return false }
    cvhost_fence()
    guard features.contains(.eventIndex) else {
      guard since > patience else { return false }
      announced = position
      return available.load16(at: 0) & 1 == 0
    }
    let unseen = position &- available.load16(at: 4 + 2 * Int(size))
    let isWanted = unseen &- 1 < since
    guard !isWanted || unseen > patience else { return false }
    announced = position
    return isWanted
  }
}
