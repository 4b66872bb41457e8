/// The rings' side of the loop.
extension Device {
  var mayTakePackets: Bool {
    hasPackets && !resets.isFull && backend.rings[VhostBackend.transmitRing].queue != nil
  }

  var maySendPackets: Bool {
    !isStarved && (!waiting.isEmpty || !resets.isEmpty) && backend.rings[VhostBackend.receiveRing].queue != nil
  }

  // MARK: From the guest

  func takePackets() throws(DeviceFailure) {
    let ring = VhostBackend.transmitRing
    let memory = backend.mapped.memory
    guard mayTakePackets else { return }
    backend.rings[ring].queue?.suppressKicks()
    var budget = Self.turnBudget
    while budget > 0, mayTakePackets {
      budget -= 1
      guard let chain = try backend.rings[ring].queue?.next(in: memory) else {
        hasPackets = backend.rings[ring].queue?.requestKick() ?? false
        continue
      }
      try take(chain)
      backend.rings[ring].queue?.complete(chain, written: 0)
    }
  }

  /// The one place where a packet from the guest is judged.
  private func take(_ chain: VirtQueue.Chain) throws(DeviceFailure) {
    guard let packet = backend.rings[VhostBackend.transmitRing].queue?.header(of: chain) else {
      throw DeviceFailure("the guest sent a packet of \(chain.count) bytes, shorter than its header")
    }
    guard Int(packet.length) <= chain.count - PacketHeader.byteCount else {
      throw DeviceFailure("the guest sent a packet that claims \(packet.length) bytes in a buffer of \(chain.count)")
    }
    // A packet in another's name gets no answer, for the answer would go to that other.
    guard packet.sourceCID == guestCID else { return }
    guard packet.destinationCID == PacketHeader.hostCID, packet.type == PacketHeader.stream,
      let index = table.index(for: packet)
    else {
      if packet.operation != .reset { resets.append(packet.resetReply) }
      return
    }
    let action = table.slots[index].connection.receive(packet, now: now)
    if action == .deliver {
      deliver(Int(packet.length), to: index)
    } else {
      perform(action, index)
    }
    settle(index)
  }

  /// Payload to the client: at once where its socket has room, else into its backlog.
  private func deliver(_ count: Int, to index: Int) {
    let client = table.slots[index].client
    table.slots[index].connection.accepted(UInt32(count))
    guard client.isOpen, !client.hasHungUp else { return delivered(count, index) }
    var written = 0
    if client.backlog == nil {
      gatherPayload(VhostBackend.transmitRing, count)
      switch scatter.send(to: client.socket) {
      case .moved(let moved): written = moved
      case .wouldBlock: break
      case .broken: return lostReader(index)
      }
    }
    if written < count { keep(PacketHeader.byteCount + written, count - written, for: client, index) }
    if written > 0 { delivered(written, index) }
  }

  private func gatherPayload(_ ring: Int, _ limit: Int) {
    guard let segments = backend.rings[ring].queue?.segments else { return }
    scatter.gather(segments, from: PacketHeader.byteCount, limit: limit)
  }

  private func keep(_ start: Int, _ count: Int, for client: Client, _ index: Int) {
    let backlog = client.backlog ?? spareBacklog ?? ByteRing(capacity: Int(Connection.bufferSize))
    if spareBacklog === backlog { spareBacklog = nil }
    client.backlog = backlog
    awaitRoom(true, index)
    var skip = start
    var left = count
    for segment in backend.rings[VhostBackend.transmitRing].queue?.segments ?? [] where left > 0 {
      guard skip < segment.count else {
        skip -= segment.count
        continue
      }
      let part = min(segment.count - skip, left)
      backlog.append(segment.slice(from: skip, count: part))
      left -= part
      skip = 0
    }
  }

  // MARK: To the guest

  func sendPackets() throws(DeviceFailure) {
    let ring = VhostBackend.receiveRing
    let memory = backend.mapped.memory
    var burst = 0
    var budget = Self.turnBudget
    while budget > 0, maySendPackets {
      budget -= 1
      guard let chain = try backend.rings[ring].queue?.next(in: memory) else {
        isStarved = !(backend.rings[ring].queue?.requestKick() ?? false)
        continue
      }
      guard chain.count > PacketHeader.byteCount else {
        throw DeviceFailure("the guest offered a buffer of \(chain.count) bytes, too short for a packet")
      }
      if let reset = resets.popFirst() {
        send(reset, chain)
      } else if let index = waiting.first {
        burst += 1
        let hasMore = sendOne(index, chain)
        if hasMore, burst < Self.burst { continue }
        burst = 0
        waiting.popFirst()
        isWaiting[index] = false
        if hasMore { enqueue(index) }
      }
    }
  }

  /// One packet of this connection's, if it has one. True if there may be more.
  private func sendOne(_ index: Int, _ chain: VirtQueue.Chain) -> Bool {
    if let packet = table.slots[index].connection.takeOwed(guestCID: guestCID) {
      send(packet, chain)
      settle(index)
      return table.slots[index].connection.phase != .finished
    }
    let client = table.slots[index].client
    guard client.mayRead, table.slots[index].connection.wantsClientData else { return false }
    let allowance = table.slots[index].connection.sendAllowance
    guard allowance > 0 else {
      table.slots[index].connection.stalledForCredit()
      return !table.slots[index].connection.owed.isEmpty
    }
    gatherPayload(VhostBackend.receiveRing, min(allowance, chain.count - PacketHeader.byteCount))
    switch scatter.receive(from: client.socket) {
    case .moved(0), .broken:
      client.mayRead = false
      clientFinished(index)
      settle(index)
    case .moved(let count):
      table.slots[index].connection.sent(count)
      send(table.slots[index].connection.header(.payload, length: count, guestCID: guestCID), chain)
    case .wouldBlock:
      client.mayRead = false
    }
    return !table.slots[index].connection.owed.isEmpty || client.mayRead
  }

  /// The payload, if any, is in the chain already.
  private func send(_ packet: PacketHeader, _ chain: VirtQueue.Chain) {
    backend.rings[VhostBackend.receiveRing].queue?.write(packet)
    backend.rings[VhostBackend.receiveRing].queue?.complete(
      chain, written: PacketHeader.byteCount + Int(packet.length))
  }

  /// Gives the connection its turn, if it has something for the guest.
  func enqueue(_ index: Int) {
    guard !isWaiting[index] else { return }
    isWaiting[index] = true
    waiting.append(index)
  }
}
