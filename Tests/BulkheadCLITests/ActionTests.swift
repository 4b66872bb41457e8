import ContainerLog
import Foundation
import Testing

@testable import BulkheadCLI

@Test func `exec prints what the program printed and ends as it did`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    let outcome = try await harness.ctl("exec", "b2", "--kill-after", "1500ms", "--", "sh", "-c", "x --y")
    #expect((outcome.code, outcome.output, outcome.errors) == (42, "out\n", "err\n"))
    let request = try #require(harness.daemon.state.withLock { $0.execs.first })
    #expect(request.cmd == ["sh", "-c", "x --y"] && request.timeout == 2)
  }
}

@Test func `a call that takes too long is given up`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    let outcome = try await harness.ctl("--timeout", "300ms", "exec", "b2", "--kill-after", "10m", "--", "sleep")
    #expect(outcome.code == 1 && outcome.errors.contains("did not answer in time"))
  }
}

@Test func `logs, whole, in part and followed`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    let path = "\(harness.directory)/0.log"
    let log = try ContainerLogWriter(path: path, statePath: path + ".state", maximumLine: 8, clock: { Harness.now })
    try log.append(stream: .stdout, offset: 0, bytes: Array("one\na longer line\n".utf8))
    try log.append(stream: .stderr, offset: 0, bytes: Array("oops\n".utf8))
    try log.append(stream: .stdout, offset: 18, bytes: Array("no end".utf8))
    try log.end(stream: .stdout)
    let all = try await harness.ctl("logs", "b1")
    #expect((all.code, all.output, all.errors) == (0, "one\na longer line\nno end", "oops\n"))
    #expect(try await harness.ctl("logs", "b1", "--follow").output == all.output)
    #expect(try await harness.ctl("logs", "b1", "-n", "2").output == "no end")
    #expect(try await harness.ctl("logs", "b1", "--since", "1h").output == all.output)
    #expect(try await harness.ctl("logs", "b1", "--since", "2027-01-01T00:00:00Z").output == "")
    let outcome1 = try await harness.ctl("logs", "-t", "b1")
    #expect(outcome1.output.hasPrefix("2026-02-02T02:40:00.000000000Z one\n"))
    let outcome2 = try await harness.ctl("logs", "b2")
    #expect(outcome2.errors.contains("1.log is not there"))
    #expect(try await harness.ctl("logs", "b1", "--tail", "-1").code == 2)
  }
}

@Test func `a guest's console is harmless`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    harness.daemon.state.withLock {
      $0.console = [Array("\u{1b}[1mBo".utf8), Array("ot\u{1b}c\r\nx\u{7}\u{9b}y\tz".utf8)]
    }
    let safe = try await harness.ctl("console", "a1").output
    #expect(safe == "Boot\nx\\u{7}\\u{9b}y    z\n")
    let raw = try await harness.ctl("console", "a1", "--raw").output
    #expect(raw == "\u{1b}[1mBoot\u{1b}c\r\nx\u{7}\u{9b}y\tz")
  }
}

@Test func `stop and rm`() async throws {
  try await Harness.serving { harness in
    harness.populate()
    let outcome3 = try await harness.ctl("rm", "a2")
    #expect(outcome3.errors.contains("is ready: stop it first, or use --force"))
    #expect(try await harness.ctl("stop", "a1", "a2").code == 0)
    #expect(try await harness.ctl("rm", "-f", "a2", "web").code == 0)
    harness.daemon.state.withLock { state in
      #expect(state.pods.isEmpty && state.removed.count == 2 && state.stopped.count == 4)
    }
  }
}

@Test func `images are pulled and removed`() async throws {
  try await Harness.serving { harness in
    let id = "sha256:" + String(repeating: "c", count: 64)
    let pull = try await harness.ctl("image", "pull", "example.org/x:1")
    #expect((pull.code, pull.output) == (0, id + "\n"))
    #expect(pull.errors == "resolving\ndownloading  1.0 MiB of 4.0 MiB  layer 1 of 2\ndone\n")
    let failed = try await harness.ctl("image", "pull", "none")
    #expect((failed.code, failed.errors) == (1, "bulkheadctl: no such image\\u{7}: none\n"))
    #expect(try await harness.ctl("image", "rm", "ccc").output == id + "\n")
    #expect(try await harness.ctl("image", "rm", "example.org/x:1").output == "example.org/x:1\n")
    #expect(try await harness.ctl("image", "rm", "ddd").errors == "bulkheadctl: there is no image \"ddd\"\n")
    #expect(harness.daemon.state.withLock { $0.removed } == [id, "example.org/x:1"])
    let outcome4 = try await harness.ctl("image", "import", "/x")
    #expect(outcome4.errors.hasPrefix("bulkheadctl: this daemon can't do that"))
  }
}

@Test func `run pulls, prints, ends as its program and leaves nothing`() async throws {
  try await Harness.serving { harness in
    harness.daemon.state.withLock {
      $0.program = .init(output: [(.stdout, "ran\n"), (.stderr, "oops"), (.stdout, "end\n")], exitCode: 17)
    }
    let outcome = try await harness.ctl("run", "x:1", "-e", "A=b=c", "--memory", "512MiB", "--", "sh", "-c", "go")
    #expect((outcome.code, outcome.output) == (17, "ran\nend\n"))
    #expect(outcome.errors.hasSuffix("done\noops"))
    let created = try #require(harness.daemon.state.withLock { $0.created.first })
    #expect(created.config.command == ["sh", "-c", "go"])
    #expect(created.config.envs.map { "\($0.key)=\(String(decoding: $0.value, as: UTF8.self))" } == ["A=b=c"])
    #expect(created.config.linux.resources.memoryLimitInBytes == 512 << 20)
    #expect(created.config.linux.securityContext.seccomp.profileType == .runtimeDefault)
    #expect(harness.daemon.state.withLock { $0.pods.isEmpty && $0.removed.count == 1 })
    #expect(!FileManager.default.fileExists(atPath: created.sandboxConfig.logDirectory))
    // The second time the image is there.
    #expect(try await harness.ctl("run", "x:1").errors == "oops")
  }
}

@Test func `run of a program that is not there`() async throws {
  try await Harness.serving { harness in
    harness.daemon.state.withLock { $0.program = .init(output: [], exitCode: 0, startError: "no such file: /x") }
    let outcome = try await harness.ctl("run", "x:1", "--", "/x")
    #expect(outcome.code == 128 && outcome.errors.hasSuffix("bulkheadctl: no such file: /x\n"))
    #expect(harness.daemon.state.withLock { $0.pods.isEmpty })
    #expect(try await harness.ctl("run", "none").code == 1)
  }
}

@Test func `an interrupted run leaves nothing either`() async throws {
  try await Harness.serving { harness in
    harness.daemon.state.withLock { $0.program = .init(output: [(.stdout, "on\n")], exitCode: 0, endless: true) }
    let run = Task { try await harness.ctl("run", "x:1") }
    // Once its output has come through, however long that takes on a machine that is busy.
    while try !harness.hasPrinted("on\n") { try await Task.sleep(for: .milliseconds(10)) }
    run.cancel()
    let outcome = try await run.value
    #expect((outcome.code, outcome.output) == (130, "on\n"))
    #expect(harness.daemon.state.withLock { $0.pods.isEmpty && $0.removed.count == 1 })
  }
}

@Test func `without a daemon there is a hint`() async throws {
  let harness = try Harness()
  for command in [["pods"], ["run", "x"], ["logs", "x"], ["image", "pull", "x"]] {
    let outcome = try await harness.ctl(command)
    #expect(outcome.code == 1)
    #expect(
      outcome.errors
        == "bulkheadctl: no daemon answers on \(harness.socket): is bulkheadd running? (systemctl status bulkheadd)\n")
  }
}
