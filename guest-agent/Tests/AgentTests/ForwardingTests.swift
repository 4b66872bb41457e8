import AgentProtocol
import Glibc
import LinuxSystem
import Testing
import TestSupport

/// Connections to the pod's loopback, to servers of busybox. The agents of all tests share it here, so each test has
/// a port of its own: the server of the test before may still listen.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ForwardingTests {
  /// An agent with a container that serves as `script` says.
  private func withServer(_ script: String, _ body: (AgentHost) async throws -> Void) async throws {
    try await AgentHost.run { agent in
      try await agent.create("server", AgentHost.spec(script))
      try await agent.start("server")
      try await body(agent)
    }
  }

  private func connect(
    _ agent: AgentHost, port: UInt16, secret: String = AgentHost.secret
  ) async throws -> (answer: UInt8?, stream: AsyncDescriptor) {
    try await agent.stream([0, UInt8(port >> 8), UInt8(port & 0xff)], secret: secret)
  }

  /// Asks until a server listens.
  private func connectSoon(_ agent: AgentHost, port: UInt16) async throws -> AsyncDescriptor {
    for _ in 0..<100 {
      let (answer, stream) = try await connect(agent, port: port)
      if answer == 0 { return stream }
      stream.close()
      try await Task.sleep(for: .milliseconds(50))
    }
    throw SystemError("connect", ECONNREFUSED)
  }

  @Test(arguments: [("127.0.0.1", 8080), ("[::1]", 8081)] as [(String, UInt16)])
  func bothLoopbacksAreReached(host: String, port: UInt16) async throws {
    try await withServer("httpd -f -p \(host):\(port)") { agent in
      let stream = try await connectSoon(agent, port: port)
      try await stream.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
      #expect(String(decoding: try await stream.receive(.max), as: UTF8.self).hasPrefix("HTTP/1."))
    }
  }

  @Test func aHalfClosedStreamStillAnswers() async throws {
    try await withServer("nc -ll -p 8082 -e sh -c 'cat; echo done'") { agent in
      for _ in 0..<3 {
        let stream = try await connectSoon(agent, port: 8082)
        try await stream.send(Array("hello\n".utf8))
        try stream.shutdownOutput()
        #expect(String(decoding: try await stream.receive(.max), as: UTF8.self) == "hello\ndone\n")
      }
    }
  }

  @Test func aPortThatNobodyServesIsRefusedForThatConnectionOnly() async throws {
    try await withServer("nc -ll -p 8083 -e cat") { agent in
      let good = try await connectSoon(agent, port: 8083)
      #expect(try await connect(agent, port: 81).answer == UInt8(ECONNREFUSED))
      try await good.send(Array("still here".utf8))
      #expect(String(decoding: try await good.receive(10), as: UTF8.self) == "still here")
    }
  }

  @Test func onlyTheDaemonIsLetIn() async throws {
    try await withServer("nc -ll -p 8084 -e cat") { agent in
      _ = try await connectSoon(agent, port: 8084)
      #expect(try await connect(agent, port: 8084, secret: "wrong secret!").answer == nil)
      #expect(try await connect(agent, port: 8084, secret: "").answer == nil)
    }
  }

  @Test func muchDataBothWaysOnManyConnectionsLeavesNoDescriptors() async throws {
    try await withServer("nc -ll -p 8085 -e cat") { agent in
      _ = try await connectSoon(agent, port: 8085)
      try await Task.sleep(for: .milliseconds(200))
      let before = try await agent.openDescriptors()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<20 {
          // The server has taken one before the next comes: its queue is short, and the kernel resets what waits there.
          let stream = try await connectSoon(agent, port: 8085)
          try await stream.send([7])
          #expect(try await stream.receive(1) == [7])
          group.addTask {
            let data = [UInt8](repeating: UInt8(index), count: 1 << 20)
            async let sent: Void = {
              try await stream.send(data)
              try stream.shutdownOutput()
            }()
            #expect(try await stream.receive(.max) == data)
            try await sent
          }
        }
        try await group.waitForAll()
      }
      // A client that vanishes while its server says nothing takes its connection along.
      for _ in 0..<10 { try await connectSoon(agent, port: 8085).close() }
      try await eventually("the descriptors are closed") { try await agent.openDescriptors() <= before + 2 }
    }
  }
}
