/// What the client does, and the clock.
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

/// What is sent to the guest.
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
}
