/// The connections of one device, each with what belongs to its client, in a bounded number of slots.
///
/// A connection's host port holds its slot in the low bits and the slot's generation above, so that a
/// packet finds its connection without a search, and one for an earlier connection finds none.
struct ConnectionTable<Client> {
  static var slotBits: UInt32 { 12 }
  /// More than this many slots have no port numbers.
  static var maximumCapacity: Int { 1 << slotBits }
  /// Keeps every port above the privileged ones and below VMADDR_PORT_ANY.
  private static var lastGeneration: UInt32 { (1 << (32 - slotBits)) - 2 }

  struct Slot {
    var connection: Connection
    var client: Client
    fileprivate var isUsed = true
    fileprivate var generation: UInt32
  }

  let capacity: Int
  /// Slots are never taken out of the array, only used again.
  var slots: ContiguousArray<Slot> = []
  private var free: ContiguousArray<Int> = []
  private(set) var count = 0

  init(capacity: Int) { self.capacity = min(max(capacity, 1), Self.maximumCapacity) }

  var isFull: Bool { count >= capacity }

  func isUsed(_ index: Int) -> Bool { slots[index].isUsed }

  /// The new connection's slot, or nil if the table is full.
  mutating func add(_ client: Client, now: Int64) -> Int? {
    guard !isFull else { return nil }
    count += 1
    if let index = free.popLast() {
      let generation = slots[index].generation % Self.lastGeneration + 1
      slots[index] = slot(index, generation, client, now)
      return index
    }
    slots.append(slot(slots.count, 1, client, now))
    return slots.count - 1
  }

  private func slot(_ index: Int, _ generation: UInt32, _ client: Client, _ now: Int64) -> Slot {
    let port = generation << Self.slotBits | UInt32(index)
    return Slot(connection: Connection(hostPort: port, now: now), client: client, generation: generation)
  }

  /// The slot of the connection that has this host port, if it is still there.
  func index(ofPort hostPort: UInt32) -> Int? {
    let index = Int(hostPort & (1 << Self.slotBits - 1))
    guard index < slots.count, slots[index].isUsed, slots[index].connection.hostPort == hostPort else { return nil }
    return index
  }

  /// The slot of the connection that a packet of the guest's belongs to.
  func index(for packet: PacketHeader) -> Int? {
    guard let index = index(ofPort: packet.destinationPort), slots[index].connection.phase != .greeting,
      slots[index].connection.guestPort == packet.sourcePort
    else { return nil }
    return index
  }

  mutating func remove(_ index: Int) {
    guard slots[index].isUsed else { return }
    slots[index].isUsed = false
    free.append(index)
    count -= 1
  }
}
