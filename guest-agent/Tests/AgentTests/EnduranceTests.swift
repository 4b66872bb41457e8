import AgentProtocol
import FoundationEssentials
import GRPCCore
import Testing

@Suite(.serialized, .timeLimit(.minutes(3)))
struct EnduranceTests {
  @Test func aHundredContainersOneAfterTheOtherLeaveNothing() async throws {
    try await AgentHost.run { agent in
      let before = try await agent.openDescriptors()
      for index in 0..<100 {
        let (text, exit) = try await agent.run("c\(index)", AgentHost.spec("echo \(index)"))
        #expect(text == "\(index)\n")
        #expect(exit.code == 0)
        try await agent.remove("c\(index)")
      }
      #expect(try await agent.client.listContainers(.init(), metadata: agent.metadata).containers.isEmpty)
      #expect(shell("[ -z \"$(ls \(agent.directory)/scratch)\" ]") == 0)
      #expect(try await agent.openDescriptors() < before + 20)
    }
  }

  @Test func twentyContainersAtOnce() async throws {
    try await AgentHost.run { agent in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<20 {
          group.addTask {
            let text = try await agent.run("c\(index)", AgentHost.spec("echo \(index)")).text
            #expect(text == "\(index)\n")
          }
        }
        try await group.waitForAll()
      }
      _ = try await agent.client.stopSandbox(.init(), metadata: agent.metadata)
      let error = await #expect(throws: RPCError.self) { try await agent.create("late", AgentHost.spec("true")) }
      #expect(error?.code == .failedPrecondition)
    }
  }

  @Test func aBrokenContainerLeavesNothing() async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("true")
      var mount = Bulkhead_Agent_V1_Mount()
      mount.type = "bind"
      mount.source = Data("/no/such/source".utf8)
      mount.destination = Data("/x".utf8)
      spec.mounts = [mount]
      let error = await #expect(throws: RPCError.self) { try await agent.create("c1", spec) }
      #expect(
        error?.message == "mount \"/no/such/source\" on \"/x\": open_tree /no/such/source: No such file or directory")
      #expect(shell("[ -z \"$(ls \(agent.directory)/scratch)\" ]") == 0)
      let text = try await agent.run("c1", AgentHost.spec("echo fine")).text
      #expect(text == "fine\n")
    }
  }
}
