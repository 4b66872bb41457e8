import ArgumentParser
import CRI

struct ExecCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec", abstract: "Runs a program in a container, and ends with its exit code.",
    usage: "bulkheadctl exec CONTAINER [--kill-after TIME] -- PROGRAM [ARGUMENT ...]",
    discussion: """
      The program has no input, and its output is printed when it has ended, at most 16 MiB of each stream.
      """)

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The container.")
  var container: String
  @Argument(parsing: .postTerminator, help: "The program and its arguments, after --.")
  var command: [String]
  @Option(help: "Kill the program, and all that it started, after this time.")
  var killAfter: TimeSpan?

  func validate() throws {
    guard !command.isEmpty else { throw ValidationError("Which program? bulkheadctl exec CONTAINER -- PROGRAM ...") }
    if let killAfter, killAfter.duration <= .zero { throw ValidationError("--kill-after is more than 0.") }
  }

  func run(in context: CommandContext) async throws {
    let (name, command) = (container, command)
    // The CRI counts whole seconds, here rounded up, and takes 0 for no limit.
    let seconds = killAfter.map { ($0.duration + .milliseconds(999)).components.seconds } ?? 0
    let answer = try await Connection(global, context).withDaemon { daemon in
      let id = try await daemon.container(name).id
      let request = Runtime_V1_ExecSyncRequest.with {
        $0.containerID = id
        $0.cmd = command
        $0.timeout = seconds
      }
      return try await daemon.runtime.execSync(request, options: daemon.patient)
    }
    try context.output.write(Array(answer.stdout))
    try context.output.writeError(Array(answer.stderr))
    if answer.exitCode != 0 { throw ProgramExit(code: answer.exitCode & 0xff) }
  }
}
