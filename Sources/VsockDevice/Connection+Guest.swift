/// What the guest does: packets for this connection.
extension Connection {
  /// A packet of the guest's for this connection. `.deliver` comes for payload only.
  mutating func receive(_ packet: PacketHeader, now: Int64) -> Action {
    if deadline != nil, phase == .open, packet.forwarded != guestForwarded { deadline = now + Patience.abandoned }
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
