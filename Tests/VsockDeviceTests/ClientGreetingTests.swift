import Testing

@testable import VsockDevice

@Suite struct ClientGreetingTests {
  @Test(arguments: [
    ("", ClientGreeting.incomplete), ("CONN", .incomplete), ("CONNECT 12", .incomplete),
    ("CONNECT 1024\n", .connect(port: 1024, byteCount: 13)), ("CONNECT 0\nrest", .connect(port: 0, byteCount: 10)),
    ("CONNECT 4294967294\n", .connect(port: 4_294_967_294, byteCount: 19)), ("CONNECT 4294967295\n", .invalid),
    ("CONNECT 4294967296\n", .invalid), ("CONNECT 99999999999\n", .invalid), ("CONNECT -1\n", .invalid),
    ("CONNECT \n", .invalid), ("connect 1\n", .invalid), ("\n", .invalid), ("CONNECT 1 \n", .invalid),
    (String(repeating: "0", count: 32), .invalid),
  ])
  func linesMeanWhatTheySay(line: String, greeting: ClientGreeting) {
    #expect(ClientGreeting(Array(line.utf8)) == greeting)
  }
}
