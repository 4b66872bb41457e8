import AgentProtocol
import FoundationEssentials
import GRPCCore
import Testing

@Suite(.enabled(if: AgentHost.isPossible), .serialized)
struct ContainerTests {
  @Test func aContainerRunsAndItsOutputAndExitAreKnown() async throws {
    try await AgentHost.run { agent in
      let (text, exit) = try await agent.run("c1", AgentHost.spec("echo hello; echo oops >&2; exit 7"))
      #expect(text == "hello\noops\n")
      #expect(exit.code == 7)
      #expect(exit.startError.isEmpty)
    }
  }
}
