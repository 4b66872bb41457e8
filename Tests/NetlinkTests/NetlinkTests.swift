import LinuxSystem
import Testing

@testable import Netlink

@Suite struct AddressTests {
  @Test func textBothWays() {
    for text in ["192.0.2.1", "2001:db8::1", "::", "0.0.0.0"] { #expect(IPAddress(text)?.description == text) }
    for text in ["", "1.2.3", "1.2.3.4.5", "::g", "1.2.3.4/24", " 1.2.3.4"] { #expect(IPAddress(text) == nil) }
    #expect(IPPrefix("10.0.0.1/24")?.description == "10.0.0.1/24")
    for text in ["10.0.0.1", "10.0.0.1/33", "10.0.0.1/-1", "::/129", "10.0.0.1/24/1"] { #expect(IPPrefix(text) == nil) }
    #expect(HardwareAddress(locallyAdministered: 0x01_0203_0405).description == "02:01:02:03:04:05")
  }
}

@Suite struct ReaderTests {
  /// What the kernel says is trusted, and still no length of its may lead past the end.
  @Test func damagedAnswersNeverTrap() {
    var request = NetlinkRequest("test", type: 24, flags: 0)
    for byte in 0..<12 { request.append(UInt8(byte)) }
    request.attribute(1, [10, 0, 0, 1])
    request.nested(8) { $0.attribute(2, UInt32(1500)) }
    let good = request.sealed(sequence: 1)
    #expect(NetlinkReader(good[...]).messages.first?.body.attributes(from: 12)[1]?.address?.description == "10.0.0.1")
    var state: UInt64 = 7
    for _ in 0..<20_000 {
      var bytes = good + good
      for _ in 0..<3 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 20)
      }
      for message in NetlinkReader(bytes.prefix(Int(state >> 40) % (bytes.count + 1))).messages {
        for attribute in message.body.attributes(from: 12).values {
          _ = attribute.address
          _ = attribute.text
          _ = attribute.attributes(from: 0).values.map { $0.number(UInt32.self, at: 0) }
        }
      }
    }
  }
}

@Suite struct SocketTests {
  @Test func loopbackIsThere() throws {
    var socket = try NetlinkSocket()
    let loopback = try #require(try socket.links().first { $0.isLoopback })
    #expect(loopback.name == "lo")
    #expect(throws: SystemError.self) { try socket.change(link: 1 << 30, LinkChange(isUp: true)) }
    _ = try socket.routes()
    _ = try socket.permanentNeighbours()
  }
}
