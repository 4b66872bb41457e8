import ArgumentParser
import CRI

struct StatusCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Shows whether the daemon can run pods, and if not, why.",
    discussion: "Ends with 1 while a condition is not met.")

  @OptionGroup var global: GlobalOptions

  func run(in context: CommandContext) async throws {
    let (status, pods) = try await Connection(global, context).withDaemon { daemon in
      (
        try await daemon.runtime.status(.init(), options: daemon.quick),
        try await daemon.runtime.listPodSandbox(.init(), options: daemon.quick).items
      )
    }
    let view = StatusView(status, pods)
    switch global.output {
    case .json: try context.output.print(json: view)
    case .table: try context.output.print(view.lines)
    }
    if !view.conditions.allSatisfy(\.met) { throw ProgramExit(code: 1) }
  }
}

struct StatusView: Encodable {
  struct Condition: Encodable {
    let type: String
    let met: Bool
    let reason: String
    let message: String
  }
  let conditions: [Condition]
  let runtimeHandlers: [String]
  let pods: Int
  let readyPods: Int

  init(_ status: Runtime_V1_StatusResponse, _ pods: [Runtime_V1_PodSandbox]) {
    conditions = status.status.conditions.map {
      Condition(type: $0.type, met: $0.status, reason: $0.reason, message: $0.message)
    }
    runtimeHandlers = status.runtimeHandlers.map(\.name)
    self.pods = pods.count
    readyPods = pods.filter { $0.state == .sandboxReady }.count
  }

  var lines: [String] {
    table(
      conditions,
      [
        Column("CONDITION") { $0.type },
        Column("MET") { $0.met ? "yes" : "no" },
        Column("REASON") { $0.reason },
        Column("MESSAGE") { $0.message },
      ]) + [""]
      + properties([
        ("pods", "\(pods), \(readyPods) of them ready"),
        ("runtime handlers", runtimeHandlers.map { "\"\($0)\"" }.joined(separator: ", ")),
      ])
  }
}
