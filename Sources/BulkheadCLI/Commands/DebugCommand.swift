import ArgumentParser
import Glibc
import OperatorAPI

struct DebugCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "debug", abstract: "Runs a shell in a pod's VM itself, outside of its containers.",
    usage: "bulkheadctl debug POD [--image IMAGE] [-- PROGRAM ARGUMENT ...]",
    discussion: """
      The guest has no programs of its own: they come from an image on this node, busybox for instance. The shell \
      is root in the guest's own namespaces, sees its processes, and finds its root at /guest. The daemon refuses \
      unless debug.guest_shell in its configuration allows it.
      """)

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The pod.")
  var pod: String
  @Option(help: "The image that the programs come from (default: the daemon's debug.image).")
  var image: String?
  @Argument(parsing: .postTerminator, help: "What to run instead of /bin/sh, after --.")
  var command: [String] = []

  func run(in context: CommandContext) async throws {
    let (name, image, command) = (pod, image ?? "", command)
    let terminal = isatty(context.input) == 1
    try await Connection(global, context).withDaemon { daemon in
      let id = try await daemon.pod(name).id
      let start = Bulkhead_Operator_V1_ProcessRequest.with {
        $0.debug = .with {
          ($0.podID, $0.image, $0.command, $0.stdin, $0.terminal) = (id, image, command, true, terminal)
        }
      }
      let session = ProcessSession(
        start: start, stdin: true, detachable: false, context: context)
      return try await session.run { producer, onResponse in
        try await daemon.node.debug(options: daemon.patient, requestProducer: producer, onResponse: onResponse)
      }
    }.finish()
  }
}
