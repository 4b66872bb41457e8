import CVhost
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// The clients' side of the loop.
extension Device {
  private static let interest: Readiness = [.readable, .peerFinished, .edgeTriggered]

  func acceptClients() throws {
    for _ in 0..<64 {
      let socket = cvhost_accept(clientListener.number)
      guard socket >= 0 else {
        switch errno {
        case EAGAIN, EINTR, ECONNABORTED: return
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return try acceptClients(false)
        default: throw SystemError("accept4", errno, subject: "on the vsock socket")
        }
      }
      let client = Client(socket: socket)
      guard let index = table.add(client, now: now) else {
        client.say(ClientGreeting.refused("too many connections (\(table.capacity))"))
        continue
      }
      if (try? epoll.add(socket, source(index), Self.interest)) == nil {
        client.say(ClientGreeting.refused("the host is out of resources"))
        table.slots[index].connection.clientWentAway(now: now)
      }
      settle(index)
    }
  }

  /// When the host has no descriptor to spare, clients wait in the listening socket's queue.
  func acceptClients(_ accepts: Bool) throws {
    isAccepting = accepts
    try epoll.change(clientListener.number, .clientListener, accepts ? .readable : [])
    nextSweep = nextSweep ?? now + 1
  }

  func handleClient(_ index: Int, _ readiness: Readiness) {
    let client = table.slots[index].client
    guard client.isOpen else { return }
    if readiness.contains(.readable) || readiness.contains(.peerFinished) { client.mayRead = true }
    if readiness.contains(.writable) { flush(index) }
    if readiness.contains(.hungUp) || readiness.contains(.failed) { hungUp(index) }
    if client.isOpen, table.slots[index].connection.phase == .greeting { greet(index) }
    settle(index)
  }

  private func greet(_ index: Int) {
    let client = table.slots[index].client
    let (greeting, isEnded) = client.readGreeting()
    switch greeting {
    case .connect(let port, _):
      table.slots[index].connection.connect(to: port, now: now)
    case .incomplete:
      if isEnded { table.slots[index].connection.clientWentAway(now: now) }
    case .invalid:
      client.say(ClientGreeting.refused("expected: CONNECT <port>"))
      table.slots[index].connection.clientWentAway(now: now)
    }
  }

  /// What remains for the client, as far as its socket has room.
  private func flush(_ index: Int) {
    let client = table.slots[index].client
    while let backlog = client.backlog, !backlog.isEmpty {
      let front = backlog.front
      let count = send(client.socket, front.baseAddress, front.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      guard count >= 0 else {
        if errno != EAGAIN && errno != EINTR { lostReader(index) }
        return
      }
      backlog.drop(count)
      delivered(count, index)
    }
    spareBacklog = client.backlog ?? spareBacklog
    client.backlog = nil
    if client.isOpen { awaitRoom(false, index) }
  }

  /// The client cannot take what is for it any more; what it sent is still passed on.
  func lostReader(_ index: Int) {
    let client = table.slots[index].client
    client.backlog = nil
    delivered(Int(table.slots[index].connection.buffered), index)
    hungUp(index)
  }

  private func hungUp(_ index: Int) {
    let client = table.slots[index].client
    client.hasHungUp = true
    client.mayRead = client.isOpen
    if client.hasFinished || !table.slots[index].connection.wantsClientData {
      wentAway(index)
    } else {
      table.slots[index].connection.clientHungUp(now: now)
    }
  }

  /// Everything that the client sent has been read.
  func clientFinished(_ index: Int) {
    let client = table.slots[index].client
    client.hasFinished = true
    if client.hasHungUp { wentAway(index) } else { table.slots[index].connection.clientFinishedSending() }
  }

  private func wentAway(_ index: Int) {
    table.slots[index].client.closeSocket()
    table.slots[index].connection.clientWentAway(now: now)
  }

  func delivered(_ count: Int, _ index: Int) {
    perform(table.slots[index].connection.delivered(UInt32(truncatingIfNeeded: count)), index)
  }

  func awaitRoom(_ awaits: Bool, _ index: Int) {
    let client = table.slots[index].client
    guard client.awaitsRoom != awaits else { return }
    client.awaitsRoom = awaits
    // A descriptor that is in the set can be changed; nothing is lost if the kernel has no memory for it.
    try? epoll.change(client.socket, source(index), awaits ? Self.interest.union(.writable) : Self.interest)
  }

  private func source(_ index: Int) -> EventSource { .client(hostPort: table.slots[index].connection.hostPort) }

  // MARK: What a connection decides

  func perform(_ action: Connection.Action, _ index: Int) {
    let client = table.slots[index].client
    switch action {
    case .nothing, .deliver: break
    case .greet: client.say(ClientGreeting.accepted(hostPort: table.slots[index].connection.hostPort))
    case .refuse(let reason):
      client.say(ClientGreeting.refused(reason.rawValue))
      client.closeSocket()
    case .shutdown(let flags):
      if flags.contains(.willNotReceive) { shutdown(client.socket, Int32(SHUT_RD)) }
      if flags.contains(.willNotSend) { shutdown(client.socket, Int32(SHUT_WR)) }
    case .closeClient: client.closeSocket()
    }
  }

  /// After anything has happened to a connection: frees it, or sees that it gets its turn.
  func settle(_ index: Int) {
    let connection = table.slots[index].connection
    if connection.phase == .finished {
      table.slots[index].client.closeSocket()
      table.remove(index)
      return
    }
    if connection.deadline != nil { nextSweep = nextSweep ?? now + 1 }
    let hasData = table.slots[index].client.mayRead && connection.sendAllowance > 0
    let isStalled = table.slots[index].client.mayRead && connection.wantsClientData
    if !connection.owed.isEmpty || hasData || isStalled { enqueue(index) }
  }
}
