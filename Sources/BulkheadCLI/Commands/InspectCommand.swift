import ArgumentParser
import OperatorAPI

struct InspectCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Shows one pod: its VM as host and guest see it, its disks, its containers, how long its boot took.")

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The pod.")
  var pod: String

  func run(in context: CommandContext) async throws {
    let name = pod
    let answer = try await Connection(global, context).withDaemon { daemon in
      let id = try await daemon.pod(name).id
      return try await daemon.node.inspectPod(.with { $0.podID = id }, options: daemon.quick)
    }
    let view = PodView(answer)
    switch global.output {
    case .json: try context.output.print(json: view)
    case .table: try context.output.print(view.lines(now: context.now()))
    }
  }
}
