import ArgumentParser
import CRI
import Glibc
import OperatorAPI

struct ExecCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec", abstract: "Runs a program in a container, and ends with its exit code.",
    usage: "bulkheadctl exec CONTAINER [-i] [-t] -- PROGRAM [ARGUMENT ...]",
    discussion: """
      With -i the program reads what this command reads; with -t it has a terminal, as wide as this one. If this \
      command is ended, the program gets SIGHUP and, two seconds later, SIGKILL.

      With --kill-after the program has no input, and its output is printed when it has ended, at most 16 MiB of \
      each stream.
      """)

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The container.")
  var container: String
  @Argument(parsing: .postTerminator, help: "The program and its arguments, after --.")
  var command: [String]
  @Flag(name: [.customShort("i"), .customLong("stdin")], help: "Give the program this command's input.")
  var stdin = false
  @Flag(name: [.customShort("t"), .customLong("tty")], help: "Give the program a terminal.")
  var terminal = false
  @Option(help: "Kill the program, and all that it started, after this time.")
  var killAfter: TimeSpan?

  func validate() throws {
    guard !command.isEmpty else { throw ValidationError("Which program? bulkheadctl exec CONTAINER -- PROGRAM ...") }
    if let killAfter, killAfter.duration <= .zero { throw ValidationError("--kill-after is more than 0.") }
    if killAfter != nil, stdin || terminal { throw ValidationError("--kill-after goes with neither -i nor -t.") }
  }

  func run(in context: CommandContext) async throws {
    let connection = Connection(global, context)
    if let killAfter { return try await runBounded(killAfter, connection, context) }
    let (name, command, stdin, terminal) = (container, command, stdin, terminal)
    try await connection.withDaemon { daemon in
      let id = try await daemon.container(name).id
      let start = Bulkhead_Operator_V1_ProcessRequest.with {
        $0.exec = .with { ($0.containerID, $0.command, $0.stdin, $0.terminal) = (id, command, stdin, terminal) }
      }
      let session = ProcessSession(
        start: start, stdin: stdin, detachable: false, context: context)
      return try await session.run { producer, onResponse in
        try await daemon.node.exec(options: daemon.patient, requestProducer: producer, onResponse: onResponse)
      }
    }.finish()
  }

  private func runBounded(_ limit: TimeSpan, _ connection: Connection, _ context: CommandContext) async throws {
    let (name, command) = (container, command)
    // The CRI counts whole seconds, here rounded up.
    let seconds = (limit.duration + .milliseconds(999)).components.seconds
    let answer = try await connection.withDaemon { daemon in
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
