import AgentProtocol
import FoundationEssentials
import LinuxSystem
import Testing

@Suite(.serialized, .timeLimit(.minutes(2)))
struct StatsStreamTests {
  private func ask(_ stream: AsyncDescriptor) async throws -> Bulkhead_Agent_V1_StatsResponse {
    try await stream.send([1])
    let length = try await stream.receive(4).reduce(0) { $0 << 8 | Int($1) }
    return try Bulkhead_Agent_V1_StatsResponse(serializedBytes: Data(try await stream.receive(length)))
  }

  @Test func oneStreamAnswersTimeAndAgain() async throws {
    try await AgentHost.run { agent in
      let (answer, stream) = try await agent.stream([2])
      #expect(answer == 0)
      #expect(try await ask(stream).containers.isEmpty)
      let busy = AgentHost.spec("i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; echo done; sleep 1000")
      try await agent.create("busy", busy)
      try await agent.start("busy")
      _ = try await agent.exec("busy", ["sleep", "1"])
      let first = try await ask(stream)
      #expect(first.containers.map(\.containerID) == ["busy"])
      let cpu = KernelText(Array(first.containers[0].usage.cpuStat))
      #expect(cpu.values([Array("usage_usec".utf8)])[0] > 0)
      #expect(first.containers[0].usage.processes == 1)
      #expect(
        KernelText(Array(first.interfaces)).lines.dropFirst(2).map { String(decoding: $0[0], as: UTF8.self) } == ["lo"])
      #expect(try await ask(stream).containers.map(\.containerID) == ["busy"], "answered from memory")
      try await agent.remove("busy")
      #expect(try await ask(stream).containers.isEmpty)
    }
  }

  @Test func endsWithItsReader() async throws {
    try await AgentHost.run { agent in
      // The files that are read stay open.
      let (_, first) = try await agent.stream([2])
      _ = try await ask(first)
      let before = try await agent.openDescriptors()
      for _ in 0..<20 {
        let (_, stream) = try await agent.stream([2])
        _ = try await ask(stream)
        // With its answer unread.
        try await stream.send([1])
        stream.close()
      }
      var after = Int.max
      for _ in 0..<100 where after > before + 2 { after = try await agent.openDescriptors() }
      #expect(after <= before + 2)
    }
  }
}
