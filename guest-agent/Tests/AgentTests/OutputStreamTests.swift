import AgentProtocol
import GRPCCore
import LinuxSystem
import Testing

/// Output of processes that goes through streams of their own.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct OutputStreamTests {
  private func withContainer(_ body: (AgentHost) async throws -> Void) async throws {
    try await AgentHost.run { agent in
      try await agent.create("c1", AgentHost.spec("sleep 1000"))
      try await agent.start("c1")
      try await body(agent)
    }
  }

  private func offer(_ agent: AgentHost, _ name: [UInt8]) async throws -> AsyncDescriptor {
    let (answer, stream) = try await agent.stream([1] + name)
    #expect(answer == 0)
    return stream
  }

  private let name = [UInt8](repeating: 7, count: 16)

  @Test func carriesStdoutWholeAndNothingElse() async throws {
    try await withContainer { agent in
      let stream = try await offer(agent, name)
      async let bytes = stream.receive(.max)
      let script = "head -c 5000000 /dev/zero | tr '\\0' y; echo end >&2; exit 4"
      let result = try await agent.exec("c1", ["sh", "-c", script], stdoutStream: name)
      #expect(try await bytes == [UInt8](repeating: UInt8(ascii: "y"), count: 5_000_000))
      #expect(result.out == "")
      #expect(result.err == "end\n")
      #expect(result.exit.code == 4)
    }
  }

  @Test func carriesATerminal() async throws {
    try await withContainer { agent in
      let stream = try await offer(agent, name)
      async let bytes = stream.receive(.max)
      _ = try await agent.exec("c1", ["sh", "-c", "tty; echo x >&2"], terminal: true, stdoutStream: name)
      #expect(String(decoding: try await bytes, as: UTF8.self) == "/dev/pts/0\r\nx\r\n")
    }
  }

  @Test func endsWithAProgramThatCannotRun() async throws {
    try await withContainer { agent in
      let stream = try await offer(agent, name)
      #expect(try await agent.exec("c1", ["nothing"], stdoutStream: name).exit.code == 127)
      #expect(try await stream.receive(.max).isEmpty)
    }
  }

  @Test func isForOneProcessThatNamesIt() async throws {
    try await withContainer { agent in
      let stream = try await offer(agent, name)
      let unknown = try await #require(throws: RPCError.self) {
        try await agent.exec("c1", ["echo", "x"], stdoutStream: [UInt8](repeating: 8, count: 16))
      }
      #expect(unknown.code == .invalidArgument)
      // A second stream of the same name is not taken.
      #expect(try await agent.stream([1] + name).answer == nil)
      _ = try await agent.exec("c1", ["echo", "x"], stdoutStream: name)
      #expect(try await stream.receive(.max) == Array("x\n".utf8))
      await #expect(throws: RPCError.self) { try await agent.exec("c1", ["echo", "x"], stdoutStream: name) }
    }
  }

  @Test func whoeverStopsReadingEndsTheProcess() async throws {
    try await withContainer { agent in
      let stream = try await offer(agent, name)
      let script = "trap '' PIPE; yes 2>/dev/null; sleep 777"
      let call = Task { try await agent.exec("c1", ["sh", "-c", script], stdoutStream: name) }
      _ = try await stream.receive(100_000)
      stream.close()
      let error = try await #require(throws: RPCError.self) { try await call.value }
      #expect(error.code == .cancelled)
      let processes = try await agent.processes("c1")
      #expect(!processes.contains("yes") && !processes.contains("777"))
    }
  }

  @Test func whatIsForNothingIsRefused() async throws {
    try await withContainer { agent in
      let (unknown, _) = try await agent.stream([3] + name)
      let (stranger, _) = try await agent.stream([1] + name, secret: "wrong")
      #expect(unknown == nil)
      #expect(stranger == nil)
    }
  }
}
