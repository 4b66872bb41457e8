import ArgumentParser
import OperatorAPI

struct ConsoleCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "console", abstract: "Shows the console of a pod's VM: its kernel's and its agent's messages.",
    discussion: "The guest is not trusted: control characters are shown escaped, unless --raw is given.")

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The pod.")
  var pod: String
  @Flag(name: .shortAndLong, help: "Go on until the VM has ended.")
  var follow = false
  @Option(help: "Begin with the last so many bytes.")
  var tailBytes: UInt64 = 0
  @Flag(help: "Print the bytes as they are, to a file for instance.")
  var raw = false

  func run(in context: CommandContext) async throws {
    let (name, follow, tailBytes, raw, output) = (pod, follow, tailBytes, raw, context.output)
    try await Connection(global, context).withDaemon { daemon in
      let id = try await daemon.pod(name).id
      let request = Bulkhead_Operator_V1_ConsoleRequest.with {
        $0.podID = id
        $0.follow = follow
        $0.tailBytes = tailBytes
      }
      try await daemon.node.console(request, options: follow ? daemon.patient : daemon.quick) { response in
        var lines = SafeLines()
        for try await chunk in response.messages {
          try output.write(raw ? Array(chunk.data) : lines.feed(chunk.data))
        }
        try output.write(lines.end())
      }
    }
  }
}
