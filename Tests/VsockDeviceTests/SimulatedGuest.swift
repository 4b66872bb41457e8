@testable import VsockDevice

/// The guest's end of one connection on a simulated machine: answers, sends within its credit, counts.
struct GuestStream {
  let machine: SimulatedMachine
  let hostPort: UInt32
  let guestPort: UInt32
  static let bufferSize: UInt32 = 64 << 10
  var received: UInt32 = 0
  var sent: UInt32 = 0
  var hostBufferSize: UInt32
  var hostForwarded: UInt32

  /// Takes the REQUEST that the machine receives next, and accepts it.
  init(accepting machine: SimulatedMachine) throws {
    let request = try machine.receive().header
    guard request.operation == .request else { throw DeviceFailure("expected REQUEST, got \(request)") }
    self.init(machine, answering: request)
    try send(.response)
  }

  init(_ machine: SimulatedMachine, answering request: PacketHeader) {
    self.machine = machine
    hostPort = request.sourcePort
    guestPort = request.destinationPort
    hostBufferSize = request.bufferSize
    hostForwarded = request.forwarded
  }

  var credit: Int { Int(hostBufferSize) - Int(sent &- hostForwarded) }

  mutating func send(
    _ operation: PacketHeader.Operation, _ payload: [UInt8] = [], flags: ShutdownFlags = []
  ) throws {
    sent &+= UInt32(payload.count)
    try machine.send(.init(header: header(operation, payload.count, flags), payload: payload))
  }

  func header(_ operation: PacketHeader.Operation, _ length: Int = 0, _ flags: ShutdownFlags = []) -> PacketHeader {
    PacketHeader(
      sourceCID: SimulatedMachine.cid, destinationCID: 2, sourcePort: guestPort, destinationPort: hostPort,
      length: UInt32(length), rawOperation: operation.rawValue, flags: flags.rawValue,
      bufferSize: Self.bufferSize, forwarded: received)
  }

  /// Notes what a packet for this stream brings.
  mutating func note(_ packet: SimulatedMachine.Packet) {
    hostBufferSize = packet.header.bufferSize
    hostForwarded = packet.header.forwarded
    received &+= UInt32(packet.payload.count)
  }

  /// The next packet that is not about credit.
  mutating func receive() throws -> SimulatedMachine.Packet {
    while true {
      let packet = try machine.receive()
      note(packet)
      switch packet.header.operation {
      case .creditRequest: try send(.creditUpdate)
      case .creditUpdate: break
      default: return packet
      }
    }
  }
}
