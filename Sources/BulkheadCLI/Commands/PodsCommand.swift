import ArgumentParser
import CRI

struct PodsCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "pods", abstract: "Lists the pods.")

  @OptionGroup var global: GlobalOptions
  @Flag(name: .shortAndLong, help: "Print ids only.")
  var quiet = false
  @Option(name: .shortAndLong, help: "Only pods of this namespace.")
  var namespace: String?
  @Flag(help: "Only pods that are ready.")
  var ready = false

  func run(in context: CommandContext) async throws {
    let pods = try await Connection(global, context).withDaemon {
      try await $0.runtime.listPodSandbox(.init(), options: $0.quick).items
    }
    let rows = pods.filter { namespace == nil || $0.metadata.namespace == namespace }
      .filter { !ready || $0.state == .sandboxReady }
      .sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
      .map { PodRow($0, now: context.now()) }
    try context.output.print(rows, as: global.output, quiet: quiet)
  }
}

struct PodRow: ListRow {
  let id: String
  let namespace: String
  let name: String
  let uid: String
  let attempt: UInt32
  let state: String
  let createdAt: String
  let runtimeHandler: String
  let labels: [String: String]
  private let age: String

  private enum CodingKeys: CodingKey {
    case id, namespace, name, uid, attempt, state, createdAt, runtimeHandler, labels
  }

  init(_ pod: Runtime_V1_PodSandbox, now: Int64) {
    id = pod.id
    namespace = pod.metadata.namespace
    name = pod.metadata.name
    uid = pod.metadata.uid
    attempt = pod.metadata.attempt
    state = pod.state == .sandboxReady ? "ready" : "not ready"
    createdAt = timestamp(pod.createdAt)
    runtimeHandler = pod.runtimeHandler
    labels = pod.labels
    age = BulkheadCLI.age(pod.createdAt, now: now)
  }

  static let columns = [
    Column<PodRow>("POD ID") { shortID($0.id) },
    Column("NAMESPACE") { $0.namespace },
    Column("NAME") { $0.name },
    Column("STATE") { $0.state },
    Column("ATTEMPT", alignRight: true) { "\($0.attempt)" },
    Column("AGE", alignRight: true) { $0.age },
  ]
}
