import AgentProtocol
import GRPCCore
import Testing

@Suite(.serialized, .timeLimit(.minutes(2)))
struct OutputTests {
  @Test func outputIsKeptUntilItIsAcknowledged() async throws {
    try await AgentHost.run { agent in
      _ = try await agent.run("c1", AgentHost.spec("echo one; echo two"))
      #expect(try await agent.output("c1").out == "one\ntwo\n")
      #expect(try await agent.output("c1", from: 4).out == "two\n")
      // Reading from an offset acknowledges what lies below it.
      let error = await #expect(throws: RPCError.self) { try await agent.output("c1", from: 0) }
      #expect(error?.code == .outOfRange)
    }
  }

  @Test func aContainerThatWritesMoreThanAnyoneReadsIsHeldBack() async throws {
    try await AgentHost.run { agent in
      try await agent.create("c1", AgentHost.spec("head -c 3000000 /dev/zero | tr '\\0' x; echo done >&2"))
      try await agent.start("c1")
      try await Task.sleep(for: .milliseconds(300))
      let state = try await agent.client.listContainers(.init(), metadata: agent.metadata).containers.first?.state
      #expect(state == .running)
      let (out, err) = try await agent.output("c1", acknowledge: true)
      #expect(out.utf8.count == 3_000_000)
      #expect(err == "done\n")
      #expect(try await agent.wait("c1").code == 0)
    }
  }

  @Test func aGrandchildThatHoldsThePipeIsKilledWithTheContainer() async throws {
    try await AgentHost.run { agent in
      let (text, exit) = try await agent.run("c1", AgentHost.spec("(sleep 1000; echo late) & echo early"))
      #expect(text == "early\n")
      #expect(exit.code == 0)
    }
  }

  @Test func theLastReaderIsTheOnlyOne() async throws {
    try await AgentHost.run { agent in
      try await agent.create("c1", AgentHost.spec("echo begun; sleep 100"))
      try await agent.start("c1")
      let (reading, isReading) = AsyncStream.makeStream(of: Void.self)
      let first = Task {
        var request = Bulkhead_Agent_V1_ReadOutputRequest()
        request.containerID = "c1"
        try await agent.client.readOutput(request, metadata: agent.metadata) { response in
          for try await _ in response.messages { isReading.yield() }
        }
      }
      for await _ in reading { break }
      let second = Task { try await agent.output("c1") }
      let error = await #expect(throws: RPCError.self) { try await first.value }
      #expect(error?.code == .aborted)
      try await agent.signal("c1", 9, all: true)
      #expect(try await second.value.out == "begun\n")
    }
  }
}
