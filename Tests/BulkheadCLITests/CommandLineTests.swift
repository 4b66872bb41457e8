import Foundation
import Testing

@testable import BulkheadCLI

@Test(arguments: [
  ["bogus"], ["pods", "-o", "xml"], ["exec", "x"], ["inspect"], ["run", "x", "-e", "novalue"],
  ["pods", "--timeout", "soon"], ["image", "pull", "x", "--username", "u"], ["run", "x", "--cpus", "0"],
  ["run", "x", "--memory", "512MB"],
])
func `a command line that is not understood ends with 2`(arguments: [String]) async throws {
  let outcome = try await Harness().ctl(arguments)
  #expect(outcome.code == 2)
  #expect(outcome.output.isEmpty && outcome.errors.hasPrefix("Error: "))
}

@Test func `help goes to stdout, for every command`() async throws {
  let harness = try Harness()
  let help = try await harness.ctl("--help")
  #expect(help.code == 0 && help.errors.isEmpty && help.output.contains("Exit codes: 0 for success"))
  for command in [
    "pods", "containers", "images", "inspect", "logs", "console", "stats", "events", "status", "version", "run", "exec",
    "stop", "rm",
    "image",
  ] {
    #expect(help.output.contains("\n  \(command)"), "\(command)")
    #expect(try await harness.ctl(command, "--help").code == 0)
  }
  for shell in ["bash", "zsh", "fish"] {
    let script = try await harness.ctl("--generate-completion-script", shell)
    #expect(script.code == 0 && script.output.contains("inspect"))
  }
}

@Test func `the socket is told by option, environment or default`() {
  let context = CommandContext(output: Output(), environment: ["BULKHEAD_SOCKET": "/e"], now: { 0 })
  let empty = CommandContext(output: Output(), environment: ["BULKHEAD_SOCKET": ""], now: { 0 })
  let option = try? GlobalOptions.parse(["--socket", "/o"])
  let none = try? GlobalOptions.parse([])
  #expect(option.map { Connection($0, context).socket } == "/o")
  #expect(none.map { Connection($0, context).socket } == "/e")
  #expect(none.map { Connection($0, empty).socket } == "/run/bulkhead/bulkhead.sock")
}

@Test func `durations and sizes`() {
  #expect(TimeSpan(argument: "90")?.duration == .seconds(90))
  #expect(TimeSpan(argument: "1h30m")?.duration == .seconds(5400))
  #expect(TimeSpan(argument: "250ms")?.duration == .milliseconds(250))
  for bad in ["", "s", "1x", "-1s", "1h 2m", "99999999999999999999", "9223372036854775807d", "١s"] {
    #expect(TimeSpan(argument: bad) == nil, "\(bad)")
  }
  #expect(MemorySize(argument: "2GiB")?.bytes == .gibibytes(2))
  for bad in ["", "2", "2GB", "0MiB", "99999999999TiB"] { #expect(MemorySize(argument: bad) == nil, "\(bad)") }
}
