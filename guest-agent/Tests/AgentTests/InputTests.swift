import AgentProtocol
import FoundationEssentials
import GRPCCore
import Testing
import TestSupport

/// A container's own input and terminal.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct InputTests {
  @Test func severalWriteAndTheInputStaysOpen() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("while read line; do echo \"got $line\"; [ $line = last ] && exit 5; done; exit 6")
      spec.stdin = true
      try await agent.create("c1", spec)
      try await agent.start("c1")
      try await agent.writeInput("c1", ["one\n"])
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<8 { group.addTask { try await agent.writeInput("c1", ["many\n", "times \(index)\n"]) } }
        try await group.waitForAll()
      }
      try await agent.writeInput("c1", ["last\n"])
      #expect(try await agent.wait("c1").code == 5)
      let lines = try await agent.output("c1").out.split(separator: "\n")
      #expect(lines.count == 18)
      #expect(lines.first == "got one" && lines.last == "got last")
    }
  }

  @Test func inputThatIsGivenOnceEndsWithItsFirstWriter() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("cat; echo ended")
      spec.stdin = true
      spec.stdinOnce = true
      try await agent.create("c1", spec)
      try await agent.start("c1")
      try await agent.writeInput("c1", ["all of it\n"])
      #expect(try await agent.wait("c1").code == 0)
      #expect(try await agent.output("c1").out == "all of it\nended\n")
    }
  }

  @Test func inputThatIsGivenOnceEndsWithAWriterThatVanishes() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("tee /tmp/seen; echo ended")
      spec.stdin = true
      spec.stdinOnce = true
      try await agent.create("c1", spec)
      try await agent.start("c1")
      let call = Task { try await agent.writeInput("c1", ["half\n"], thenWait: .seconds(600)) }
      try await eventually("the input is read") { try await agent.exec("c1", ["cat", "/tmp/seen"]).out == "half\n" }
      call.cancel()
      _ = await call.result
      #expect(try await agent.wait("c1").code == 0)
      #expect(try await agent.output("c1").out == "half\nended\n")
    }
  }

  @Test func aWriterWaitsForAContainerThatDoesNotRead() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("sleep 1; wc -c")
      spec.stdin = true
      spec.stdinOnce = true
      try await agent.create("c1", spec)
      try await agent.start("c1")
      try await agent.writeInput("c1", Array(repeating: String(repeating: "x", count: 1 << 20), count: 20))
      #expect(try await agent.wait("c1").code == 0)
      #expect(try await agent.output("c1").out == "\(20 << 20)\n")
    }
  }

  @Test func aTerminalIsResizedAndGone() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("trap 'stty size; exit 0' WINCH; : >/tmp/ready; while :; do sleep 0.05; done")
      spec.process.terminal = true
      spec.stdin = true
      try await agent.create("c1", spec)
      try await agent.start("c1")
      try await eventually("it is ready") { try await agent.exec("c1", ["test", "-e", "/tmp/ready"]).exit.code == 0 }
      try await agent.resize("c1", 100, 30)
      #expect(try await agent.wait("c1").code == 0)
      #expect(try await agent.output("c1").out.contains("30 100"))
      try await agent.create("c2", AgentHost.spec("sleep 100"))
      let error = await #expect(throws: RPCError.self) { try await agent.resize("c2", 1, 1) }
      #expect(error?.code == .failedPrecondition)
      let noInput = await #expect(throws: RPCError.self) { try await agent.writeInput("c2", ["x"]) }
      #expect(noInput?.code == .failedPrecondition)
    }
  }
}

extension AgentHost {
  func writeInput(_ id: String, _ pieces: [String], thenWait pause: Duration = .zero) async throws {
    _ = try await client.writeInput(metadata: metadata) { writer in
      var request = Bulkhead_Agent_V1_WriteInputRequest()
      request.containerID = id
      for piece in pieces {
        request.data = Data(piece.utf8)
        try await writer.write(request)
      }
      try await Task.sleep(for: pause)
    }
  }

  func resize(_ id: String, _ columns: UInt32, _ rows: UInt32) async throws {
    var request = Bulkhead_Agent_V1_ResizeTerminalRequest()
    request.containerID = id
    request.size.width = columns
    request.size.height = rows
    _ = try await client.resizeTerminal(request, metadata: metadata)
  }
}
