import Testing

@testable import VsockDevice

@Suite struct PacketHeaderTests {
  @Test func everyFieldSurvivesTheWire() throws {
    let header = PacketHeader(
      sourceCID: 0x0102_0304_0506_0708, destinationCID: 2, sourcePort: 0x1112_1314, destinationPort: 1024,
      length: 0x2122_2324, type: 1, rawOperation: 5, flags: 3, bufferSize: 0x3132_3334, forwarded: 0x4142_4344)
    var bytes = [UInt8](repeating: 0, count: PacketHeader.byteCount)
    bytes.withUnsafeMutableBytes { header.encode(into: $0) }
    #expect(bytes[0..<8] == [8, 7, 6, 5, 4, 3, 2, 1])
    #expect(bytes[30..<32] == [5, 0])
    #expect(bytes.withUnsafeBytes { PacketHeader($0) } == header)
  }

  @Test func fewerThan44BytesAreNoHeader() {
    let bytes = [UInt8](repeating: 0, count: PacketHeader.byteCount - 1)
    #expect(bytes.withUnsafeBytes { PacketHeader($0) } == nil)
  }

  @Test func aResetGoesBackWhereThePacketCameFrom() {
    let packet = PacketHeader(
      sourceCID: 7, destinationCID: 99, sourcePort: 1, destinationPort: 2, type: 9, rawOperation: 1)
    let reply = packet.resetReply
    #expect(reply.sourceCID == 99 && reply.destinationCID == 7)
    #expect(reply.sourcePort == 2 && reply.destinationPort == 1)
    #expect(reply.type == 9 && reply.operation == .reset)
  }
}
