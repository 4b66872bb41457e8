import LinuxSystem
import Testing
import VsockClient

@testable import VsockDevice

#if canImport(Glibc)
  import Glibc
#endif

/// How the device meets guests and QEMUs that do not do as they should, and those that come and go.
@Suite(.serialized) struct DeviceProtocolTests {
  private func packet(
    _ operation: UInt16, from cid: UInt64 = SimulatedMachine.cid, to destination: UInt64 = 2, type: UInt16 = 1
  ) -> SimulatedMachine.Packet {
    .init(
      header: PacketHeader(
        sourceCID: cid, destinationCID: destination, sourcePort: 5, destinationPort: 6, type: type,
        rawOperation: operation))
  }

  @Test func whatBelongsToNobodyIsReset() throws {
    let harness = try DeviceHarness()
    let machine = try SimulatedMachine(socketPath: harness.vhostPath)
    // A guest that dials us, payload out of nowhere, another type of socket, another host.
    for stray in [packet(1), packet(5), packet(77), packet(1, type: 2), packet(1, to: 3)] {
      try machine.send(stray)
      #expect(try machine.receive().header == stray.header.resetReply)
    }
    // Resets are not answered, nor what comes in another guest's name.
    try machine.send(packet(3))
    try machine.send(packet(1, from: 78))
    #expect(try machine.receiveIfAny(100) == nil)
  }

  @Test func aGuestThatTakesNoAnswersWaitsForThem() throws {
    let harness = try DeviceHarness()
    let machine = try SimulatedMachine(socketPath: harness.vhostPath, offeringBuffers: false)
    let strays = Device.maximumResets + 32
    // The ring holds the rest: the device stops taking when it cannot answer.
    for _ in 0..<strays { try machine.send(packet(1)) }
    for index in 0..<SimulatedMachine.queueSize / 2 { machine.offerReceiveBuffer(index) }
    machine.kick(machine.receiveRing)
    for _ in 0..<strays { #expect(try machine.receive().header.operation == .reset) }
  }

  @Test func aFullTableRefuses() throws {
    let harness = try DeviceHarness(capacity: 2)
    let machine = try SimulatedMachine(socketPath: harness.vhostPath)
    var clients: [HostClient] = []
    var streams: [GuestStream] = []
    for _ in 0..<2 {
      let dialing = try HostClient.dial(harness)
      streams.append(try GuestStream(accepting: machine))
      clients.append(try dialing.value())
    }
    #expect(throws: VsockError.refused("too many connections (2)")) { try HostClient.dial(harness).value() }
    clients[0].close()
    #expect(try machine.receive().header.operation == .shutdown)
    try streams[0].send(.reset)
    // Packets are taken in order: when this one has arrived, the reset has.
    try streams[1].send(.payload, [1])
    #expect(try clients[1].read(1) == [1])
    let dialing = try HostClient.dial(harness)
    _ = try GuestStream(accepting: machine)
    clients[0] = try dialing.value()
    for client in clients { client.close() }
  }

  @Test func dialingBeforeTheGuestIsThereWaitsForIt() throws {
    let harness = try DeviceHarness()
    let dialing = try HostClient.dial(harness)
    usleep(100_000)
    let machine = try SimulatedMachine(socketPath: harness.vhostPath)
    _ = try GuestStream(accepting: machine)
    try dialing.value().close()
  }

  @Test func streamsSurviveAPauseButNotAReboot() throws {
    let harness = try DeviceHarness()
    let machine = try SimulatedMachine(socketPath: harness.vhostPath)
    let dialing = try HostClient.dial(harness)
    var stream = try GuestStream(accepting: machine)
    let client = try dialing.value()

    func stop() throws -> (UInt32, UInt32) {
      let receive = Array(try machine.request(11, littleEndian(UInt32(0)) + littleEndian(UInt32(0))).suffix(4))
      let transmit = Array(try machine.request(11, littleEndian(UInt32(1)) + littleEndian(UInt32(0))).suffix(4))
      var (first, second) = (LittleEndianReader(receive[...]), LittleEndianReader(transmit[...]))
      return (try first.next(), try second.next())
    }
    let positions = try stop()
    #expect(positions.1 == 1, "one RESPONSE was taken")
    try client.write([1])
    #expect(try machine.receiveIfAny(50) == nil, "a stopped ring is left alone")
    try machine.sendMemoryTable()
    try machine.startRings(from: positions)
    #expect(try stream.receive().payload == [1])

    _ = try stop()
    try machine.startRings(from: (0, 0))
    #expect(try client.readToEnd() == [])
    client.close()
  }

  @Test func theDeviceEndsWithQEMU() throws {
    let harness = try DeviceHarness()
    var machine: SimulatedMachine? = try SimulatedMachine(socketPath: harness.vhostPath)
    let dialing = try HostClient.dial(harness)
    _ = try GuestStream(accepting: try #require(machine))
    let client = try dialing.value()
    machine = nil
    try harness.finished()
    #expect(try client.readToEnd() == [])
    client.close()
  }

  @Test func theDeviceEndsWithoutQEMU() throws {
    try DeviceHarness(patience: 0).finished()
  }

  /// What of QEMU's is refused, each by a device of its own.
  @Test func badRequestsEndTheDevice() throws {
    let number = littleEndian(UInt32(9)) + littleEndian(UInt32(0))
    let cases: [(code: UInt32, payload: [UInt8], flags: UInt32)] = [
      (1, [], 0), (1, [], 2), (1, [], 5), (99, [], 1), (2, [1, 2, 3], 1), (2, littleEndian(UInt64.max), 1),
      (5, littleEndian(UInt64(9)), 1), (5, littleEndian(UInt64(1)), 1), (8, number, 1), (11, number, 1),
      (12, littleEndian(UInt64(7)), 1), (12, littleEndian(UInt64(0x100)), 1), (12, littleEndian(UInt64(0)), 1),
      (18, number, 1), (1, [UInt8](repeating: 0, count: 2000), 1),
    ]
    for (code, payload, flags) in cases {
      let harness = try DeviceHarness()
      let socket = try connectUnix(harness.vhostPath)
      try sendBytes(
        littleEndian(code) + littleEndian(flags) + littleEndian(UInt32(payload.count)) + payload, descriptors: [],
        to: socket)
      #expect(throws: DeviceFailure.self, "request \(code)") { try harness.finished() }
      close(socket)
    }
  }

  @Test func moreDescriptorsThanAMessageHasEndTheDevice() throws {
    let harness = try DeviceHarness()
    let socket = try connectUnix(harness.vhostPath)
    try sendBytes([1], descriptors: [Int32](repeating: socket, count: 12), to: socket)
    #expect(throws: (any Error).self) { try harness.finished() }
    close(socket)
  }

  @Test func messagesMayComeByteByByte() throws {
    let harness = try DeviceHarness()
    let socket = try connectUnix(harness.vhostPath)
    for byte in littleEndian(UInt32(24)) + littleEndian(UInt32(1)) + littleEndian(UInt32(12)) {
      try sendBytes([byte], descriptors: [], to: socket)
    }
    try sendBytes(littleEndian(UInt32(0)), descriptors: [], to: socket)
    try sendBytes(littleEndian(UInt32(8)) + littleEndian(UInt32(0)), descriptors: [], to: socket)
    #expect(try readExactly(32, from: socket).suffix(8) == littleEndian(SimulatedMachine.cid)[...])
    close(socket)
    try harness.finished()
  }
}
