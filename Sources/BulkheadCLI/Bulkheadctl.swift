import ArgumentParser
import Common

/// The operator's command line: a client of the daemon's socket, nothing more.
public struct Bulkheadctl: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "bulkheadctl",
    abstract: "Shows and drives the pods of this node, each in a virtual machine of its own.",
    discussion: """
      Pods and containers are named by their id, any prefix of it that only one has, or by name: \
      NAMESPACE/NAME for a pod, POD/NAME for a container, or NAME alone where only one has it.

      Exit codes: 0 for success, 1 for a failure, 2 for a command line that is not understood, 130 when \
      interrupted. `exec`, `attach`, `debug` and `run` end with the exit code of the program that ran.
      """,
    version: "bulkheadctl \(bulkheadVersion)",
    groupedSubcommands: [
      CommandGroup(
        name: "Read-Only",
        subcommands: [
          PodsCommand.self, ContainersCommand.self, ImagesCommand.self, InspectCommand.self, LogsCommand.self,
          ConsoleCommand.self, StatsCommand.self, EventsCommand.self, StatusCommand.self, VersionCommand.self,
        ]),
      CommandGroup(
        name: "Changing",
        subcommands: [
          RunCommand.self, ExecCommand.self, AttachCommand.self, PortForwardCommand.self, DebugCommand.self,
          StopCommand.self, RemoveCommand.self, ImageCommand.self,
        ]),
    ])

  @OptionGroup var global: GlobalOptions

  public init() {}
}

/// A command that talks to the daemon. Run by `runBulkheadctl`, with the world it sees in `context`.
protocol DaemonCommand: ParsableCommand {
  func run(in context: CommandContext) async throws
}

/// Parses and runs one command line (without the program's name) and returns the exit code. Every
/// failure is told on `context`'s stderr, in a line of its own.
public func runBulkheadctl(_ arguments: [String], in context: CommandContext) async -> Int32 {
  do {
    var command = try Bulkheadctl.parseAsRoot(arguments)
    if let command = command as? any DaemonCommand {
      try await command.run(in: context)
    } else {
      try command.run()
    }
    return 0
  } catch let exit as ProgramExit {
    return exit.code
  } catch is OutputClosed {
    // The reader, `head` for instance, has had enough.
    return 1
  } catch let failure as CommandFailure {
    context.complain(failure.message)
    return 1
  } catch is CancellationError {
    return 130
  } catch {
    return report(error, context)
  }
}

/// What ArgumentParser throws: help and versions too.
private func report(_ error: any Error, _ context: CommandContext) -> Int32 {
  let code = Bulkheadctl.exitCode(for: error)
  let message = Bulkheadctl.fullMessage(for: error)
  switch code {
  case .success:
    try? context.output.write(message + "\n")
    return 0
  case .validationFailure:
    context.output.writeError(message + "\n")
    return 2
  default:
    context.complain("\(error)")
    return 1
  }
}
