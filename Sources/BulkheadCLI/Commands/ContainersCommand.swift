import ArgumentParser
import CRI

struct ContainersCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "containers", abstract: "Lists the containers, those that have ended too.")

  @OptionGroup var global: GlobalOptions
  @Flag(name: .shortAndLong, help: "Print ids only.")
  var quiet = false
  @Option(name: .shortAndLong, help: "Only containers of this pod.")
  var pod: String?
  @Flag(help: "Only containers that run.")
  var running = false

  func run(in context: CommandContext) async throws {
    let podName = pod
    let (containers, pods) = try await Connection(global, context).withDaemon { daemon in
      let podID = if let podName { try await daemon.pod(podName).id } else { "" }
      let filter = Runtime_V1_ListContainersRequest.with { $0.filter.podSandboxID = podID }
      return (
        try await daemon.runtime.listContainers(filter, options: daemon.quick).containers, try await daemon.podsByID()
      )
    }
    let rows = containers.filter { !running || $0.state == .containerRunning }
      .sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
      .map { ContainerRow($0, pod: pods[$0.podSandboxID], now: context.now()) }
    try context.output.print(rows, as: global.output, quiet: quiet)
  }
}

struct ContainerRow: ListRow {
  let id: String
  let name: String
  let attempt: UInt32
  let state: String
  let image: String
  let imageID: String
  let podID: String
  let podNamespace: String
  let podName: String
  let createdAt: String
  let labels: [String: String]
  private let age: String

  private enum CodingKeys: CodingKey {
    case id, name, attempt, state, image, imageID, podID, podNamespace, podName, createdAt, labels
  }

  init(_ container: Runtime_V1_Container, pod: Runtime_V1_PodSandbox?, now: Int64) {
    id = container.id
    name = container.metadata.name
    attempt = container.metadata.attempt
    state = container.state.word
    // The kubelet names images by id; what the user wrote says more.
    image =
      container.image.userSpecifiedImage.isEmpty ? container.image.image : container.image.userSpecifiedImage
    imageID = container.imageID
    podID = container.podSandboxID
    podNamespace = pod?.metadata.namespace ?? ""
    podName = pod?.metadata.name ?? ""
    createdAt = timestamp(container.createdAt)
    labels = container.labels
    age = BulkheadCLI.age(container.createdAt, now: now)
  }

  static let columns = [
    Column<ContainerRow>("CONTAINER ID") { shortID($0.id) },
    Column("POD") { $0.podName.isEmpty ? shortID($0.podID) : "\($0.podNamespace)/\($0.podName)" },
    Column("NAME") { $0.name },
    Column("STATE") { $0.state },
    Column("ATTEMPT", alignRight: true) { "\($0.attempt)" },
    Column("IMAGE") { $0.image.hasPrefix("sha256:") ? shortID($0.image) : $0.image },
    Column("AGE", alignRight: true) { $0.age },
  ]
}

extension Runtime_V1_ContainerState {
  var word: String {
    switch self {
    case .containerCreated: "created"
    case .containerRunning: "running"
    case .containerExited: "exited"
    default: "unknown"
    }
  }
}
