import ArgumentParser
import Common
import OperatorAPI

struct AttachCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "attach", abstract: "Shows what a running container writes from now on, and ends as it ends.",
    discussion: """
      With -i the container reads what this command reads, if it was made with an input. On a container with a \
      terminal ctrl-p ctrl-q detaches and leaves it running; without one, ending this command does.
      """)

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The container.")
  var container: String
  @Flag(name: [.customShort("i"), .customLong("stdin")], help: "Give the container this command's input.")
  var stdin = false

  func run(in context: CommandContext) async throws {
    let (name, stdin) = (container, stdin)
    let end = try await Connection(global, context).withDaemon { daemon in
      let id = try await daemon.container(name).id
      let start = Bulkhead_Operator_V1_ProcessRequest.with {
        $0.attach = .with { ($0.containerID, $0.stdin) = (id, stdin) }
      }
      let session = ProcessSession(
        start: start, stdin: stdin, detachable: true, context: context)
      return try await session.run { producer, onResponse in
        try await daemon.node.attach(options: daemon.patient, requestProducer: producer, onResponse: onResponse)
      }
    }
    if case .exited(_, let message) = end, !message.isEmpty { context.complain(printable(message, limit: 1024)) }
    try end.finish()
  }
}
