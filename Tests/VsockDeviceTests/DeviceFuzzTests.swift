import LinuxSystem
import Testing
import VsockClient
import TestSupport

@testable import VsockDevice

#if canImport(Glibc)
  import Glibc
#endif

/// Hostile guests and QEMUs with a seed: the device may end with an error of its own, and must not
/// trap, hang, or harm a client. (A trap would end this process.)
@Suite(.serialized) struct DeviceFuzzTests {
  @Test func randomPacketsNeitherTrapNorWedge() throws {
    let harness = try DeviceHarness()
    let machine = try SimulatedMachine(socketPath: harness.vhostPath)
    var random = SeededRandom(seed: 7)
    var known: [GuestStream] = []
    for round in 0..<6000 {
      if round % 100 == 0 {
        let dialing = try HostClient.dial(harness, timeout: .seconds(2))
        while let packet = try machine.receiveIfAny(1000) {
          guard packet.header.operation == .request else { continue }
          var stream = GuestStream(machine, answering: packet.header)
          try stream.send(.response)
          known.append(stream)
          break
        }
        // Left open, closed or half-closed, whatever comes.
        if let client = try? dialing.value(), round % 300 != 0 {
          if round % 200 == 0 { client.finishWriting() } else { client.close() }
        }
      }
      let target = known[Int(random.next() % UInt64(known.count))]
      let length = random.next() % 4 == 0 ? Int(random.next() % 60_000) : Int(random.next() % 64)
      var header = target.header(.payload, length)
      header.rawOperation = UInt16(random.next() % 9)
      header.flags = UInt32(random.next() % 4)
      if random.next() % 3 == 0 { header.bufferSize = UInt32(truncatingIfNeeded: random.next()) }
      if random.next() % 3 == 0 { header.forwarded = UInt32(truncatingIfNeeded: random.next()) }
      if random.next() % 16 == 0 { header.type = UInt16(truncatingIfNeeded: random.next()) }
      if random.next() % 16 == 0 { header.destinationPort = UInt32(truncatingIfNeeded: random.next()) }
      try machine.send(.init(header: header, payload: [UInt8](repeating: 1, count: length)))
      while try machine.receiveIfAny() != nil {}
    }
    // After all that, a new connection works.
    let dialing = try HostClient.dial(harness)
    var packet = try machine.receive()
    while packet.header.operation != .request { packet = try machine.receive() }
    var stream = GuestStream(machine, answering: packet.header)
    try stream.send(.response)
    let client = try dialing.value()
    try stream.send(.payload, [5])
    #expect(try client.read(1) == [5])
    client.close()
  }

  /// Each round a device, a good set-up, then random bytes over the rings' memory.
  @Test func randomRingsEndTheDeviceAtWorst() throws {
    var random = SeededRandom(seed: 11)
    for round in 0..<40 {
      let harness = try DeviceHarness()
      let features: Features = [.version1, .protocolFeatures, .indirectDescriptors, .eventIndex]
      var machine: SimulatedMachine? = try SimulatedMachine(socketPath: harness.vhostPath, features: features)
      let dialing = try HostClient.dial(harness, timeout: .milliseconds(20))
      for _ in 0..<200 {
        guard let machine else { break }
        let spans = [0x1000..<0x1400, 0x2000..<0x2090, 0x5000..<0x5400, 0x6000..<0x6090, 0x10000..<0x10400]
        let span = spans[Int(random.next() % UInt64(spans.count))]
        let offset = span.lowerBound + Int(random.next() % UInt64(span.count))
        (machine.memory + offset).storeBytes(of: UInt8(truncatingIfNeeded: random.next()), as: UInt8.self)
        machine.kick(machine.receiveRing)
        machine.kick(machine.transmitRing)
      }
      machine = nil
      _ = try? dialing.value().close()
      do {
        try harness.finished()
      } catch is DeviceFailure {
      } catch {
        Issue.record("round \(round): \(error)")
      }
    }
  }

  @Test func randomMessagesAreParsedOrRefused() {
    var random = SeededRandom(seed: 3)
    var parsed = 0
    for _ in 0..<20_000 {
      let count = Int(random.next() % 300)
      let code = UInt32(random.next() % 40)
      let bytes =
        littleEndian(code) + littleEndian(UInt32(random.next() % 16)) + littleEndian(UInt32(count))
        + (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() % 12 == 0 ? random.next() : 0) }
      if (try? VhostUserMessage(bytes[...])) != nil { parsed += 1 }
    }
    #expect(parsed > 100)
  }

  /// Any request with any payload and sometimes a descriptor, to a live device.
  @Test func randomRequestsEndTheDeviceAtWorst() throws {
    var random = SeededRandom(seed: 23)
    for _ in 0..<60 {
      let harness = try DeviceHarness()
      let machine = try SimulatedMachine(socketPath: harness.vhostPath)
      let codes: [UInt32] = [1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 34]
      for _ in 0..<20 {
        let count = 4 * Int(random.next() % 12)
        let payload = (0..<count).map { index in
          UInt8(truncatingIfNeeded: random.next() % (index % 4 == 0 ? 9 : 2))
        }
        let descriptors = random.next() % 2 == 0 ? [] : [machine.memoryFile]
        let code = codes[Int(random.next() % UInt64(codes.count))]
        guard (try? machine.send(code, payload, descriptors: descriptors)) != nil else { break }
      }
      shutdown(machine.socket, Int32(SHUT_WR))
      _ = try? harness.finished()
    }
  }
}
