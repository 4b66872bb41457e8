import LinuxSystem
import Testing
import VsockClient

@testable import VsockDevice

#if canImport(Glibc)
  import Glibc
#endif

/// What a client of the host sees of a guest, through the device's own loop, real sockets and shared
/// memory.
@Suite(.serialized) struct DeviceStreamTests {
  private let harness: DeviceHarness
  private let machine: SimulatedMachine

  init() throws {
    harness = try DeviceHarness()
    machine = try SimulatedMachine(socketPath: harness.vhostPath)
  }

  private func open() throws -> (HostClient, GuestStream) {
    let dialing = try HostClient.dial(harness)
    let stream = try GuestStream(accepting: machine)
    return (try dialing.value(), stream)
  }

  @Test(
    arguments: [
      [.version1, .protocolFeatures], [.version1, .protocolFeatures, .eventIndex],
      [.version1, .protocolFeatures, .eventIndex, .indirectDescriptors], [.version1],
    ] as [Features])
  func connectsAndEchoes(features: Features) throws {
    let harness = try DeviceHarness()
    let machine = try SimulatedMachine(socketPath: harness.vhostPath, features: features)
    let dialing = try HostClient.dial(harness, port: 99)
    var stream = try GuestStream(accepting: machine)
    #expect(stream.guestPort == 99)
    let client = try dialing.value()
    for round in 0..<200 {
      let message = Array("message \(round)".utf8)
      try client.write(message)
      let packet = try stream.receive()
      #expect(packet.header.operation == .payload && packet.payload == message)
      try stream.send(.payload, packet.payload)
      #expect(try client.read(message.count) == message)
    }
    client.close()
  }

  @Test func aPortWithoutListenerIsRefusedAtOnce() throws {
    let dialing = try HostClient.dial(harness)
    let stream = GuestStream(machine, answering: try machine.receive().header)
    try machine.send(.init(header: stream.header(.reset)))
    #expect(throws: VsockError.refused("connection refused by the guest")) { try dialing.value() }
  }

  @Test func aClientThatGivesUpDialingIsTakenBack() throws {
    let dialing = try HostClient.dial(harness, timeout: .milliseconds(50))
    let stream = GuestStream(machine, answering: try machine.receive().header)
    #expect(throws: VsockError.timedOut) { try dialing.value() }
    let reset = try machine.receive().header
    #expect(reset.operation == .reset && reset.sourcePort == stream.hostPort)
    // The answer that comes too late belongs to nobody.
    try machine.send(.init(header: stream.header(.response)))
    #expect(try machine.receive().header.operation == .reset)
  }

  @Test func bytesBeforeTheAnswerWaitForIt() throws {
    let client = HostClient(try connectUnix(harness.clientPath))
    try client.write(Array("CONNECT 5\nearly".utf8))
    var stream = try GuestStream(accepting: machine)
    #expect(try stream.receive().payload == Array("early".utf8))
    #expect(try client.read(3) == Array("OK ".utf8))
    client.close()
  }

  @Test(arguments: ["HELLO\n", "CONNECT\n", "CONNECT x\n", "CONNECT 4294967295\n", String(repeating: "C", count: 64)])
  func whatIsNoGreetingIsRefused(line: String) throws {
    let client = HostClient(try connectUnix(harness.clientPath))
    try client.write(Array(line.utf8))
    let answer = try client.read(4)
    #expect(answer == Array("ERR ".utf8))
    client.close()
  }

  @Test func eachSideCanEndItsHalfFirst() throws {
    for hostFirst in [true, false] {
      var (client, stream) = try open()
      if hostFirst { client.finishWriting() } else { try stream.send(.shutdown, flags: .willNotSend) }
      if hostFirst {
        let shutdown = try stream.receive().header
        #expect(shutdown.operation == .shutdown && shutdown.flags == ShutdownFlags.willNotSend.rawValue)
        try stream.send(.payload, Array("answer".utf8))
        try stream.send(.shutdown, flags: .both)
        #expect(try client.readToEnd() == Array("answer".utf8))
        #expect(try stream.receive().header.operation == .reset)
      } else {
        #expect(try client.readToEnd() == [])
        try client.write(Array("more".utf8))
        #expect(try stream.receive().payload == Array("more".utf8))
      }
      client.close()
      if !hostFirst {
        let shutdown = try stream.receive().header
        #expect(shutdown.operation == .shutdown && shutdown.flags == ShutdownFlags.both.rawValue)
        try stream.send(.reset)
      }
    }
  }

  @Test func aGuestThatWillNotReceiveStopsTheClient() throws {
    var (client, stream) = try open()
    try stream.send(.shutdown, flags: .willNotReceive)
    try stream.send(.payload, Array("x".utf8))
    #expect(try client.read(1) == Array("x".utf8))
    #expect(throws: SystemError.self) { try client.write([1]) }
    client.close()
  }

  @Test func whatAClientSentBeforeClosingArrives() throws {
    var (client, stream) = try open()
    let bytes = (0..<150_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try client.write(bytes)
    client.close()
    var arrived: [UInt8] = []
    while true {
      let packet = try stream.receive()
      guard packet.header.operation == .payload else {
        #expect(packet.header.operation == .shutdown && packet.header.flags == ShutdownFlags.both.rawValue)
        break
      }
      arrived += packet.payload
      try stream.send(.creditUpdate)
    }
    #expect(arrived == bytes)
    try stream.send(.reset)
  }

  @Test func megabytesBothWaysAtOnceKeepTheirOrder() throws {
    var (client, stream) = try open()
    let total = 8 << 20
    let opened = client
    let writing = try Background {
      for start in stride(from: 0, to: total, by: 50_000) {
        try opened.write(pattern(start, min(50_000, total - start)))
      }
      opened.finishWriting()
    }
    let reading = try Background { try opened.readToEnd() }
    var arrived = 0
    var sent = 0
    var hostIsDone = false
    while !hostIsDone || sent < total {
      if sent < total, stream.credit > 0 {
        let count = min(stream.credit, 60_000, total - sent)
        try stream.send(.payload, pattern(sent, count))
        sent += count
        if sent == total { try stream.send(.shutdown, flags: .willNotSend) }
      }
      let mustWait = sent == total || stream.credit == 0
      while let packet = try machine.receiveIfAny(mustWait ? 5000 : 0) {
        stream.note(packet)
        if packet.header.operation == .payload {
          if packet.payload != pattern(arrived, packet.payload.count) { Issue.record("differs after \(arrived)") }
          arrived += packet.payload.count
          try stream.send(.creditUpdate)
        }
        hostIsDone = hostIsDone || packet.header.operation == .shutdown
        if mustWait { break }
      }
    }
    #expect(arrived == total)
    #expect(try reading.value() == pattern(0, total))
    try writing.value()
    client.close()
  }

  @Test func aClientThatDoesNotReadHoldsUpNobody() throws {
    var (slow, slowStream) = try open()
    var sent: [UInt8] = []
    // Until the credit is used up: it stays so, for only the socket takes any.
    while true {
      while slowStream.credit > 0 {
        let part = pattern(sent.count, min(slowStream.credit, 30_000))
        try slowStream.send(.payload, part)
        sent += part
      }
      guard let packet = try machine.receiveIfAny(200) else { break }
      slowStream.note(packet)
    }
    #expect(sent.count < 2 * Int(Connection.bufferSize) + (1 << 20))
    var (client, stream) = try open()
    try client.write([1, 2, 3])
    #expect(try stream.receive().payload == [1, 2, 3])
    try stream.send(.payload, [4])
    #expect(try client.read(1) == [4])
    // The slow one loses nothing.
    #expect(try slow.read(sent.count) == sent)
    slow.close()
    client.close()
  }

  @Test func aGuestThatSendsBeyondItsCreditLosesThatConnectionOnly() throws {
    var (client, stream) = try open()
    var (other, otherStream) = try open()
    // Nobody reads: the socket and the buffer fill up.
    for _ in 0..<40 { try stream.send(.payload, [UInt8](repeating: 0, count: 60_000)) }
    var packet = try machine.receive()
    while packet.header.operation == .creditUpdate { packet = try machine.receive() }
    #expect(packet.header.operation == .reset && packet.header.destinationPort == stream.guestPort)
    while try machine.receiveIfAny(50) != nil {}
    try otherStream.send(.payload, [9])
    #expect(try other.read(1) == [9])
    client.close()
    other.close()
  }

  @Test func hundredsOfConnectionsAtOnce() throws {
    let count = 600
    let path = harness.clientPath
    let dialing = try Background {
      try (0..<count).map { _ in
        HostClient(try HybridVsock.connect(socketPath: path, port: 1024, timeout: .seconds(10)))
      }
    }
    var streams: [UInt32: GuestStream] = [:]
    while streams.count < count {
      let stream = try GuestStream(accepting: machine)
      streams[stream.hostPort] = stream
    }
    let clients = try dialing.value()
    for (index, client) in clients.enumerated() { try client.write(littleEndian(UInt32(index))) }
    for _ in 0..<count {
      let packet = try machine.receive()
      streams[packet.header.sourcePort]?.note(packet)
      try streams[packet.header.sourcePort]?.send(.payload, packet.payload)
    }
    for (index, client) in clients.enumerated() { #expect(try client.read(4) == littleEndian(UInt32(index))) }
    for client in clients { client.close() }
    for _ in 0..<count {
      let shutdown = try machine.receive().header
      #expect(shutdown.operation == .shutdown)
      try streams[shutdown.sourcePort]?.send(.reset)
    }
  }
}

/// Bytes that tell where they belong in a stream.
private func pattern(_ start: Int, _ count: Int) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
    for index in 0..<count {
      let position = UInt64(start + index)
      buffer[index] = UInt8(truncatingIfNeeded: (position &* 0x9e37_79b9) >> 13)
    }
    filled = count
  }
}
