import TestSupport
import Testing

@testable import VsockDevice

/// The state machine alone: no sockets, no rings.
@Suite struct ConnectionTests {
  private static let cid: UInt64 = 77

  private func packet(
    _ operation: PacketHeader.Operation, length: UInt32 = 0, flags: ShutdownFlags = [], buffer: UInt32 = 1000,
    forwarded: UInt32 = 0
  ) -> PacketHeader {
    PacketHeader(
      sourceCID: Self.cid, destinationCID: 2, sourcePort: 1024, destinationPort: 4096, length: length,
      rawOperation: operation.rawValue, flags: flags.rawValue, bufferSize: buffer, forwarded: forwarded)
  }

  private func opened() -> Connection {
    var connection = Connection(hostPort: 4096, now: 0)
    connection.connect(to: 1024, now: 0)
    #expect(connection.takeOwed(guestCID: Self.cid)?.operation == .request)
    #expect(connection.receive(packet(.response), now: 0) == .greet)
    #expect(connection.phase == .open && connection.deadline == nil)
    return connection
  }

  private func owed(_ connection: inout Connection) -> PacketHeader? { connection.takeOwed(guestCID: Self.cid) }

  @Test func aRequestCarriesOurAddressAndCredit() {
    var connection = Connection(hostPort: 4096, now: 0)
    connection.connect(to: 1024, now: 0)
    let request = owed(&connection)
    #expect(request?.sourceCID == 2 && request?.destinationCID == Self.cid)
    #expect(request?.sourcePort == 4096 && request?.destinationPort == 1024)
    #expect(request?.bufferSize == Connection.bufferSize && request?.forwarded == 0)
    #expect(owed(&connection) == nil)
  }

  @Test func aRefusedClientHearsWhyAndTheSlotIsFree() {
    var connection = Connection(hostPort: 4096, now: 0)
    connection.connect(to: 1024, now: 0)
    _ = owed(&connection)
    #expect(connection.receive(packet(.reset), now: 0) == .refuse(.refused))
    #expect(connection.phase == .finished)
  }

  @Test func anAnswerBeforeTheQuestionIsAViolation() {
    var connection = Connection(hostPort: 4096, now: 0)
    connection.connect(to: 1024, now: 0)
    #expect(connection.receive(packet(.response), now: 0) == .refuse(.protocolError))
    #expect(owed(&connection)?.operation == .reset)
    #expect(connection.phase == .finished)
  }

  @Test func aGuestThatNeverAnswersIsGivenUp() {
    var connection = Connection(hostPort: 4096, now: 5)
    connection.connect(to: 1024, now: 5)
    _ = owed(&connection)
    #expect(connection.deadline == 5 + Connection.Patience.request)
    #expect(connection.expired() == .refuse(.timedOut))
    #expect(owed(&connection)?.operation == .reset)
  }

  @Test func whatWasNeverAskedNeedsNoReset() {
    var connection = Connection(hostPort: 4096, now: 0)
    connection.connect(to: 1024, now: 0)
    connection.clientWentAway(now: 0)
    #expect(connection.phase == .finished && connection.owed.isEmpty)
  }

  @Test func weSendNoMoreThanTheGuestHasRoomFor() {
    var connection = opened()
    #expect(connection.sendAllowance == 1000)
    connection.sent(600)
    #expect(connection.sendAllowance == 400)
    connection.sent(400)
    #expect(connection.sendAllowance == 0)
    connection.stalledForCredit()
    connection.stalledForCredit()
    #expect(owed(&connection)?.operation == .creditRequest)
    #expect(owed(&connection) == nil, "asked once")
    // An answer without room is no reason to ask again: the guest tells us when there is some.
    _ = connection.receive(packet(.creditUpdate), now: 0)
    connection.stalledForCredit()
    #expect(owed(&connection) == nil)
    _ = connection.receive(packet(.creditUpdate, forwarded: 700), now: 0)
    #expect(connection.sendAllowance == 700)
  }

  @Test func nonsenseCreditFromTheGuestMeansNoRoom() {
    var connection = opened()
    connection.sent(10)
    _ = connection.receive(packet(.creditUpdate, buffer: 1000, forwarded: 4_000_000_000), now: 0)
    #expect(connection.sendAllowance == 1000 - 294_967_306 || connection.sendAllowance == 0)
    _ = connection.receive(packet(.creditUpdate, buffer: 5, forwarded: 0), now: 0)
    #expect(connection.sendAllowance == 0)
  }

  @Test func countersWrapAround() {
    var connection = opened()
    var total: UInt32 = 0
    for _ in 0..<5000 {
      connection.sent(1 << 20)
      total &+= 1 << 20
      _ = connection.receive(packet(.creditUpdate, buffer: 1 << 20, forwarded: total), now: 0)
      #expect(connection.sendAllowance == 1 << 20)
      #expect(connection.receive(packet(.payload, length: Connection.bufferSize), now: 0) == .deliver)
      connection.accepted(Connection.bufferSize)
      #expect(connection.delivered(Connection.bufferSize) == .nothing)
    }
    #expect(connection.buffered == 0)
  }

  @Test func theGuestHearsOfFreedSpaceInSteps() {
    var connection = opened()
    _ = connection.receive(packet(.payload, length: Connection.creditStep), now: 0)
    connection.accepted(Connection.creditStep)
    _ = connection.delivered(Connection.creditStep - 1)
    #expect(owed(&connection) == nil)
    _ = connection.delivered(1)
    let update = owed(&connection)
    #expect(update?.operation == .creditUpdate && update?.forwarded == Connection.creditStep)
    #expect(owed(&connection) == nil)
  }

  @Test func payloadBeyondTheCreditResets() {
    var connection = opened()
    #expect(connection.receive(packet(.payload, length: Connection.bufferSize), now: 0) == .deliver)
    connection.accepted(Connection.bufferSize)
    #expect(connection.receive(packet(.payload, length: 1), now: 0) == .closeClient)
    #expect(owed(&connection)?.operation == .reset)
    #expect(connection.phase == .finished)
  }

  @Test func aClientThatEndsItsHalfIsHeardUntilTheGuestEnds() {
    var connection = opened()
    connection.clientFinishedSending()
    let shutdown = owed(&connection)
    #expect(shutdown?.operation == .shutdown && shutdown?.flags == ShutdownFlags.willNotSend.rawValue)
    #expect(!connection.wantsClientData && connection.sendAllowance == 0)
    #expect(connection.receive(packet(.payload, length: 7), now: 0) == .deliver)
    connection.accepted(7)
    _ = connection.delivered(7)
    #expect(connection.receive(packet(.shutdown, flags: .both), now: 0) == .closeClient)
    #expect(owed(&connection)?.operation == .reset)
  }

  @Test func theGuestsEndReachesTheClientAfterItsData() {
    var connection = opened()
    _ = connection.receive(packet(.payload, length: 10), now: 0)
    connection.accepted(10)
    #expect(connection.receive(packet(.shutdown, flags: .willNotSend), now: 0) == .nothing)
    #expect(connection.delivered(4) == .nothing)
    #expect(connection.delivered(6) == .shutdown(.willNotSend))
    #expect(connection.wantsClientData, "the other half goes on")
  }

  @Test func shutdownBitsAddUp() {
    var connection = opened()
    #expect(connection.receive(packet(.shutdown, flags: .willNotReceive), now: 0) == .shutdown(.willNotReceive))
    #expect(connection.receive(packet(.shutdown), now: 0) == .nothing)
    #expect(!connection.wantsClientData)
    #expect(connection.receive(packet(.shutdown, flags: .willNotSend), now: 0) == .closeClient)
    #expect(owed(&connection)?.operation == .reset)
  }

  @Test func payloadAfterTheGuestsEndIsAViolation() {
    var connection = opened()
    _ = connection.receive(packet(.shutdown, flags: .willNotSend), now: 0)
    #expect(connection.receive(packet(.payload, length: 1), now: 0) == .closeClient)
    #expect(owed(&connection)?.operation == .reset)
  }

  @Test func aGuestThatClosesWithDataUnreadByTheClientLosesNone() {
    var connection = opened()
    _ = connection.receive(packet(.payload, length: 10), now: 0)
    connection.accepted(10)
    #expect(connection.receive(packet(.shutdown, flags: .both), now: 0) == .shutdown(.willNotReceive))
    #expect(owed(&connection) == nil)
    #expect(connection.delivered(10) == .closeClient)
    #expect(owed(&connection)?.operation == .reset)
  }

  @Test func aResetLeavesTheClientWhatItWasSent() {
    var connection = opened()
    _ = connection.receive(packet(.payload, length: 10), now: 0)
    connection.accepted(10)
    #expect(connection.receive(packet(.reset), now: 0) == .shutdown(.willNotReceive))
    #expect(connection.delivered(10) == .closeClient)
    #expect(connection.phase == .finished)
  }

  @Test func aClientThatLeavesEndsBothHalvesAndWaitsForTheReset() {
    var connection = opened()
    connection.clientWentAway(now: 100)
    let shutdown = owed(&connection)
    #expect(shutdown?.operation == .shutdown && shutdown?.flags == ShutdownFlags.both.rawValue)
    #expect(connection.deadline == 100 + Connection.Patience.close)
    #expect(connection.receive(packet(.payload, length: 1 << 20), now: 100) == .nothing, "dropped")
    #expect(owed(&connection)?.operation == .creditUpdate)
    #expect(connection.receive(packet(.reset), now: 100) == .nothing)
    #expect(connection.phase == .finished)
  }

  @Test func whenBothCloseAtOnceWeSendTheReset() {
    var connection = opened()
    connection.clientWentAway(now: 0)
    _ = owed(&connection)
    #expect(connection.receive(packet(.shutdown, flags: .both), now: 0) == .nothing)
    #expect(owed(&connection)?.operation == .reset)
  }

  @Test func aGuestThatDoesNotResetIsResetAfterAWhile() {
    var connection = opened()
    connection.clientWentAway(now: 0)
    _ = owed(&connection)
    _ = connection.expired()
    #expect(owed(&connection)?.operation == .reset)
    #expect(connection.phase == .finished)
  }

  @Test func anAnsweredResetIsNotAnswered() {
    var connection = opened()
    #expect(connection.receive(packet(.response), now: 0) == .closeClient)
    #expect(connection.phase == .resetting)
    #expect(connection.receive(packet(.reset), now: 0) == .nothing)
    #expect(connection.phase == .finished && owed(&connection) == nil)
  }

  @Test func aNewDriverForgetsOnlyWhatTheOldOneKnew() {
    var waiting = Connection(hostPort: 4096, now: 0)
    waiting.connect(to: 1024, now: 0)
    #expect(waiting.deviceReset() == .nothing && waiting.phase == .requesting)
    _ = owed(&waiting)
    #expect(waiting.deviceReset() == .refuse(.deviceReset) && waiting.phase == .finished)
    var open = opened()
    #expect(open.deviceReset() == .closeClient && open.phase == .finished)
  }

  /// Whatever comes in whatever order: no trap, bounded buffering, and an end that can be reached.
  @Test func randomEventsKeepTheInvariants() {
    var random = SeededRandom(seed: 0x5eed)
    for _ in 0..<3000 {
      var connection = Connection(hostPort: 4096, now: 0)
      connection.connect(to: 1024, now: 0)
      var outstanding: UInt32 = 0
      for _ in 0..<60 where connection.phase != .finished {
        switch random.next() % 8 {
        case 0, 1, 2, 3:
          var packet = packet(.payload, length: UInt32(random.next() % 300_000))
          packet.rawOperation = UInt16(random.next() % 9)
          packet.flags = UInt32(random.next() % 5)
          packet.bufferSize = UInt32(truncatingIfNeeded: random.next())
          packet.forwarded = UInt32(truncatingIfNeeded: random.next())
          if connection.receive(packet, now: 1) == .deliver {
            connection.accepted(packet.length)
            outstanding = connection.buffered
          }
        case 4:
          _ = connection.takeOwed(guestCID: Self.cid)
        case 5:
          let part = min(outstanding, connection.buffered) / 2
          _ = connection.delivered(part)
        case 6:
          if connection.wantsClientData { connection.sent(min(connection.sendAllowance, 4096)) }
        default:
          if random.next() % 8 == 0 { connection.clientWentAway(now: 1) } else { connection.clientFinishedSending() }
        }
        if connection.buffered > Connection.bufferSize { Issue.record("buffered \(connection.buffered)") }
      }
      _ = connection.expired()
      if connection.phase != .finished { connection.clientWentAway(now: 2) }
      while connection.takeOwed(guestCID: Self.cid) != nil {}
      if connection.phase == .closing { _ = connection.expired() }
      while connection.takeOwed(guestCID: Self.cid) != nil {}
      if connection.phase != .finished { Issue.record("ends in \(connection.phase)") }
    }
  }
}
