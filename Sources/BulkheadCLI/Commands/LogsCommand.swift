import ArgumentParser
import CRI
import Common
import ContainerLog

struct LogsCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "logs", abstract: "Prints what a container wrote, its stdout to stdout and its stderr to stderr.",
    discussion: "The log is read from its file on this node, byte for byte.")

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The container.")
  var container: String
  @Flag(name: .shortAndLong, help: "Go on until the container has ended.")
  var follow = false
  @Option(name: [.long, .customShort("n")], help: "Begin with the last so many lines.")
  var tail: Int?
  @Option(help: "Only what was written since a time (RFC 3339) or for a while (10m).")
  var since: Since?
  @Flag(name: .shortAndLong, help: "Print the time before each line.")
  var timestamps = false

  func validate() throws {
    if let tail, tail < 0 { throw ValidationError("--tail is a number of lines, 0 or more.") }
  }

  func run(in context: CommandContext) async throws {
    let printer = LogPrinter(
      output: context.output, timestamps: timestamps, since: since?.nanoseconds(now: context.now()) ?? .min)
    let (name, follow, tail) = (container, follow, tail)
    try await Connection(global, context).withDaemon { daemon in
      let id = try await daemon.container(name).id
      let path = try await daemon.status(container: id).logPath
      guard !path.isEmpty else { throw CommandFailure("container \(printable(name)) keeps no log") }
      var reader = try ContainerLogReader(path: path, tail: tail)
      if follow {
        _ = try await printer.follow(&reader, daemon, container: id)
      } else {
        try printer.printRest(&reader)
      }
    }
  }
}

/// Where a log begins to be of interest.
enum Since: ExpressibleByArgument, Equatable {
  case time(Int64)
  case ago(Duration)

  init?(argument: String) {
    if let time = LogTimestamp.parse(argument.utf8) {
      self = .time(time)
    } else if let span = TimeSpan(argument: argument) {
      self = .ago(span.duration)
    } else {
      return nil
    }
  }

  /// Since 1970.
  func nanoseconds(now: Int64) -> Int64 {
    switch self {
    case .time(let time): return time
    case .ago(let duration):
      let (seconds, overflow) = duration.components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
      return overflow ? .min : now &- seconds &- duration.components.attoseconds / 1_000_000_000
    }
  }
}
