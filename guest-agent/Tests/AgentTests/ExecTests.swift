import AgentProtocol
import FoundationEssentials
import GRPCCore
import Testing
import TestSupport

@Suite(.serialized, .timeLimit(.minutes(2)))
struct ExecTests {
  /// An agent with the container "c1" that sleeps.
  private func withContainer(_ body: (AgentHost) async throws -> Void) async throws {
    try await AgentHost.run { agent in
      var spec = AgentHost.spec("trap 'exit 0' TERM; sleep 1000 & wait")
      spec.process.env.append(Data("FROM=container".utf8))
      spec.process.user.username = Data("app".utf8)
      try await agent.create("c1", spec)
      try await agent.start("c1")
      try await body(agent)
    }
  }

  @Test func aProcessRunsBesideTheContainersOwn() async throws {
    try await withContainer { agent in
      let result = try await agent.exec("c1", ["sh", "-c", "echo $FROM $HOME; id -u; cat /proc/1/comm; exit 3"])
      #expect(result.out == "container /home/app\n1000\npause\n")
      #expect(result.exit.code == 3)
      #expect(try await agent.exec("c1", ["cat"], input: "through and through").out == "through and through")
      #expect(try await agent.exec("c1", ["grep", "^0:", "/proc/self/cgroup"]).out.hasPrefix("0::/exec-"))
    }
  }

  @Test func aProgramThatCannotRunHasTheShellsExitCode() async throws {
    try await withContainer { agent in
      let missing = try await agent.exec("c1", ["nothing"])
      #expect(missing.exit.code == 127)
      #expect(missing.exit.startError.contains("not found in $PATH"))
      #expect(try await agent.exec("c1", ["/etc/passwd"]).exit.code == 126)
    }
  }

  @Test func aTerminalBelongsToTheProcess() async throws {
    try await withContainer { agent in
      let result = try await agent.exec(
        "c1", ["sh", "-c", "tty; stty -a | head -1 | cut -d';' -f1; echo $TERM"], terminal: true)
      #expect(result.out.hasPrefix("/dev/pts/"))
      #expect(result.out.contains("xterm"))
      #expect(result.exit.code == 0)
    }
  }

  @Test func timeEndsTheProcessAndItsChildren() async throws {
    try await withContainer { agent in
      let result = try await agent.exec("c1", ["sh", "-c", "sleep 555 & sleep 556"], timeoutMilliseconds: 300)
      #expect(result.exit.timedOut)
      #expect(result.exit.code == 137)
      #expect(try await agent.processes("c1").contains("sleep 1000"))
      #expect(try await !agent.processes("c1").contains("sleep 55"))
    }
  }

  @Test func aCallerThatLeavesTakesTheProcessAlong() async throws {
    try await withContainer { agent in
      let call = Task { try await agent.exec("c1", ["sleep", "777"]) }
      try await eventually("the process runs") { try await agent.processes("c1").contains("sleep 777") }
      call.cancel()
      _ = await call.result
      try await eventually("the process is gone") { try await !agent.processes("c1").contains("sleep 777") }
    }
  }

  @Test func muchOutputArrivesWhole() async throws {
    try await withContainer { agent in
      let result = try await agent.exec("c1", ["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' y; echo end >&2"])
      #expect(result.out.utf8.count == 5_000_000)
      #expect(result.err == "end\n")
    }
  }
}
