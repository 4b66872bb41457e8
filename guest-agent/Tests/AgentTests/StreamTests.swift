import AgentProtocol
import FoundationEssentials
import GRPCCore
import Testing
import TestSupport

/// Interactive processes: terminals, input, those who leave in the middle.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct StreamTests {
  typealias Request = Bulkhead_Agent_V1_ExecRequest
  typealias Response = Bulkhead_Agent_V1_ExecResponse

  private func withSleeper(_ body: (AgentHost) async throws -> Void) async throws {
    try await AgentHost.run { agent in
      try await agent.create("c1", AgentHost.spec("trap 'exit 0' TERM; sleep 100000 & wait"))
      try await agent.start("c1")
      try await body(agent)
    }
  }

  private static func start(_ args: [String], terminal: Bool = false) -> Request {
    var request = Request()
    request.start.containerID = "c1"
    request.start.args = args.map { Data($0.utf8) }
    request.start.stdin = true
    request.start.terminal = terminal
    return request
  }

  private static func resize(_ columns: UInt32, _ rows: UInt32) -> Request {
    var request = Request()
    request.resize.width = columns
    request.resize.height = rows
    return request
  }

  private static func stdin(_ text: String) -> Request {
    var request = Request()
    request.stdin = Data(text.utf8)
    return request
  }

  private static var end: Request {
    var request = Request()
    request.stdinEnd = true
    return request
  }

  @Test func aResizeIsSeenInside() async throws {
    try await withSleeper { agent in
      let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"
      let (ready, isReady) = AsyncStream.makeStream(of: Void.self)
      let text = try await agent.client.exec(metadata: agent.metadata) { writer in
        try await writer.write(Self.start(["sh", "-c", script], terminal: true))
        for await _ in ready { break }
        try await writer.write(Self.resize(132, 43))
      } onResponse: { response in
        var text = ""
        for try await message in response.messages {
          text += String(decoding: message.stdout, as: UTF8.self)
          if text.contains("ready") { isReady.yield() }
        }
        return text
      }
      #expect(text.contains("43 132"))
    }
  }

  @Test(arguments: [false, true]) func theEndOfInputIsRead(terminal: Bool) async throws {
    try await withSleeper { agent in
      let output = try await agent.client.exec(metadata: agent.metadata) { writer in
        try await writer.write(Self.start(["sh", "-c", "cat >/dev/null; echo ended"], terminal: terminal))
        // With a line that is not finished, which a terminal has to be told of too.
        try await writer.write(Self.stdin("a line\nand a half"))
        try await writer.write(Self.end)
      } onResponse: { response in
        try await response.messages.reduce(into: "") { $0 += String(decoding: $1.stdout, as: UTF8.self) }
      }
      #expect(output.contains("ended"))
    }
  }

  @Test(arguments: [false, true]) func aCallerThatLeavesHangsUp(terminal: Bool) async throws {
    try await withSleeper { agent in
      // Says that it heard the hang-up; its child doesn't hear at all. Without what the shell itself would say of
      // its children, to a stream that is gone.
      let script = """
        exec 2>/dev/null; (trap '' HUP; exec sleep 4321) & trap 'echo heard > /tmp/hup; exit 0' HUP; echo ready; \
        while :; do sleep 0.05; done
        """
      let call = Task {
        try await agent.client.exec(metadata: agent.metadata) { writer in
          try await writer.write(Self.start(["sh", "-c", "rm -f /tmp/hup; " + script], terminal: terminal))
          try await Task.sleep(for: .seconds(600))
        } onResponse: { response in
          for try await message in response.messages where !message.stdout.isEmpty {
            withUnsafeCurrentTask { $0?.cancel() }
          }
        }
      }
      _ = await call.result
      try await eventually("the hang-up is heard") { try await agent.exec("c1", ["cat", "/tmp/hup"]).out == "heard\n" }
      try await eventually("the child is gone") { try await !agent.processes("c1").contains("sleep 4321") }
    }
  }

  @Test func aProcessThatIgnoresTheHangUpIsKilled() async throws {
    try await withSleeper { agent in
      // Writes down, as long as it lives, how long the machine has been up.
      let script = "trap '' HUP; while :; do read up idle </proc/uptime; echo $up >>/tmp/alive; sleep 0.1; done"
      let call = Task { try await agent.exec("c1", ["sh", "-c", script]) }
      let lastSign = { Double(try await agent.exec("c1", ["tail", "-n", "1", "/tmp/alive"]).out.dropLast()) ?? 0 }
      try await eventually("it ignores the hang-up") { try await lastSign() > 0 }
      call.cancel()
      _ = await call.result
      let before = try await lastSign()
      try await eventually("it is gone") { try await !agent.processes("c1").contains("trap '' HUP") }
      #expect(try await lastSign() >= before + 1, "it has two seconds")
    }
  }

  @Test func aHundredMegabytesEachWay() async throws {
    try await withSleeper { agent in
      let size = 100 << 20
      let piece = Data((0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) })
      let count = try await agent.client.exec(metadata: agent.metadata) { writer in
        try await writer.write(Self.start(["cat"]))
        var request = Request()
        request.stdin = piece
        for _ in 0..<(size / piece.count) { try await writer.write(request) }
        try await writer.write(Self.end)
      } onResponse: { response in
        var count = 0
        for try await message in response.messages {
          let offset = count % piece.count
          let expected = piece.dropFirst(offset).prefix(message.stdout.count)
          #expect(message.stdout.prefix(expected.count) == expected)
          count += message.stdout.count
        }
        return count
      }
      #expect(count == size)
    }
  }

  @Test func aSlowReaderHoldsTheProcessUp() async throws {
    try await withSleeper { agent in
      let before = try await residentPages(agent)
      try await agent.client.exec(metadata: agent.metadata) { writer in
        try await writer.write(
          Self.start(["sh", "-c", "while :; do head -c 1000000 /dev/zero; echo >> /tmp/rounds; done"]))
        try await Task.sleep(for: .seconds(600))
      } onResponse: { response in
        // Reads nothing for a while.
        try await Task.sleep(for: .seconds(1))
        let rounds = try await agent.exec("c1", ["sh", "-c", "wc -l < /tmp/rounds"]).out
        #expect(try #require(Int(rounds.dropLast())) < 8)
        let after = try await residentPages(agent)
        #expect(after - before < 4096, "16 MiB")
        var (iterator, received) = (response.messages.makeAsyncIterator(), 0)
        while received < 20_000_000, let message = try await iterator.next() { received += message.stdout.count }
        let later = try await agent.exec("c1", ["sh", "-c", "wc -l < /tmp/rounds"]).out
        #expect(try #require(Int(later.dropLast())) > 8, "it goes on as it is read")
      }
    }
  }

  private func residentPages(_ agent: AgentHost) async throws -> Int {
    let info = try await agent.client.guestInfo(.init(), metadata: agent.metadata)
    return Int(info.agentResidentBytes) / 4096
  }

  @Test func sixtyFourAtOnceLeaveNoDescriptors() async throws {
    try await withSleeper { agent in
      _ = try await agent.exec("c1", ["true"])
      let before = try await agent.openDescriptors()
      for _ in 0..<3 {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for index in 0..<64 {
            group.addTask {
              let result = try await agent.exec(
                "c1", ["sh", "-c", "read line; echo $line; exit \(index)"], input: "number \(index)\n",
                terminal: index % 4 == 0)
              #expect(result.out.contains("number \(index)"))
              #expect(result.exit.code == UInt32(index))
            }
          }
          try await group.waitForAll()
        }
      }
      #expect(try await agent.openDescriptors() <= before + 4)
    }
  }
}
