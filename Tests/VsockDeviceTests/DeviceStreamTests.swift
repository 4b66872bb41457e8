import LinuxSystem
import Testing
import VsockClient

@testable import VsockDevice

#if canImport(Glibc)
  import Glibc
#endif

/// What a client of the host sees of a guest, through a real device process loop, real sockets and
/// shared memory.
@Suite(.serialized) struct DeviceStreamTests {
  /// Dials on a thread of its own, as HybridVsock blocks.
  private func dial(_ harness: DeviceHarness, port: UInt32 = 1024, timeout: Duration = .seconds(5)) -> Task<
    Int32, any Error
  > {
    let path = harness.clientPath
    return Task {
      try await onDedicatedThread { try HybridVsock.connect(socketPath: path, port: port, timeout: timeout) }
    }
  }

  @Test(
    arguments: [
      [.version1, .protocolFeatures], [.version1, .protocolFeatures, .eventIndex],
      [.version1, .protocolFeatures, .eventIndex, .indirectDescriptors], [.version1],
    ] as [Features])
  func connectsAndEchoes(features: Features) async throws {
    let harness = try DeviceHarness()
    let machine = try SimulatedMachine(socketPath: harness.vhostPath, features: features)
    let dialing = dial(harness)
    var stream = try GuestStream(accepting: machine)
    #expect(stream.guestPort == 1024)
    let client = try await dialing.value
    defer { close(client) }
    for round in 0..<100 {
      let message = Array("message \(round)".utf8)
      #expect(write(client, message, message.count) == message.count)
      let packet = try stream.receive()
      #expect(packet.header.operation == .payload && packet.payload == message)
      try stream.send(.payload, packet.payload)
      #expect(try readExactly(message.count, from: client) == message)
    }
  }
}
