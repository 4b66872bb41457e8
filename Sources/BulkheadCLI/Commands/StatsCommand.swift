import ArgumentParser
import CRI
import Common

struct StatsCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Shows what the containers that run use, or the pods.",
    discussion: "CPU is shown once a second has passed since somebody asked before.")

  @OptionGroup var global: GlobalOptions
  @Flag(help: "Pods as a whole, and not their containers.")
  var pods = false
  @Option(name: .shortAndLong, help: "Only this pod and its containers.")
  var pod: String?

  func run(in context: CommandContext) async throws {
    let podName = pod
    if pods {
      let stats = try await Connection(global, context).withDaemon { daemon in
        let id = if let podName { try await daemon.pod(podName).id } else { "" }
        return try await daemon.runtime.listPodSandboxStats(.with { $0.filter.id = id }, options: daemon.quick).stats
      }
      return try context.output.print(stats.map(StatsRow.init), as: global.output)
    }
    let (stats, known) = try await Connection(global, context).withDaemon { daemon in
      let id = if let podName { try await daemon.pod(podName).id } else { "" }
      let request = Runtime_V1_ListPodSandboxStatsRequest.with { $0.filter.id = id }
      let stats = try await daemon.runtime.listPodSandboxStats(request, options: daemon.quick).stats
      return (stats, try await daemon.podsByID())
    }
    let rows = stats.flatMap { pod in
      pod.linux.containers.map { StatsRow($0, pod: known[pod.attributes.id]?.metadata ?? pod.attributes.metadata) }
    }
    try context.output.print(rows, as: global.output)
  }
}

struct StatsRow: ListRow {
  let id: String
  let pod: String
  /// Empty for a pod.
  let container: String
  let time: String
  let cpuNanoseconds: UInt64
  let cpuNanoCores: UInt64?
  let workingSetBytes: UInt64
  let memoryBytes: UInt64
  let writtenBytes: UInt64?
  let processes: UInt64?

  init(_ stats: Runtime_V1_PodSandboxStats) {
    id = stats.attributes.id
    pod = "\(stats.attributes.metadata.namespace)/\(stats.attributes.metadata.name)"
    container = ""
    time = timestamp(stats.linux.cpu.timestamp)
    cpuNanoseconds = stats.linux.cpu.usageCoreNanoSeconds.value
    cpuNanoCores = stats.linux.cpu.hasUsageNanoCores ? stats.linux.cpu.usageNanoCores.value : nil
    workingSetBytes = stats.linux.memory.workingSetBytes.value
    memoryBytes = stats.linux.memory.usageBytes.value
    writtenBytes = nil
    processes = stats.linux.process.processCount.value
  }

  init(_ stats: Runtime_V1_ContainerStats, pod metadata: Runtime_V1_PodSandboxMetadata) {
    id = stats.attributes.id
    pod = "\(metadata.namespace)/\(metadata.name)"
    container = stats.attributes.metadata.name
    time = timestamp(stats.cpu.timestamp)
    cpuNanoseconds = stats.cpu.usageCoreNanoSeconds.value
    cpuNanoCores = stats.cpu.hasUsageNanoCores ? stats.cpu.usageNanoCores.value : nil
    workingSetBytes = stats.memory.workingSetBytes.value
    memoryBytes = stats.memory.usageBytes.value
    writtenBytes = stats.hasWritableLayer ? stats.writableLayer.usedBytes.value : nil
    processes = nil
  }

  static let columns = [
    Column<StatsRow>("ID") { shortID($0.id) },
    Column("POD") { $0.pod },
    Column("CONTAINER") { $0.container },
    Column("CPU %", alignRight: true) { row in row.cpuNanoCores.map { "\(tenths($0 / 1_000_000))" } ?? "-" },
    Column("CPU TIME", alignRight: true) { "\($0.cpuNanoseconds / 1_000_000) ms" },
    Column("WORKING SET", alignRight: true) { ByteCount(bytes: $0.workingSetBytes).description },
    Column("MEMORY", alignRight: true) { ByteCount(bytes: $0.memoryBytes).description },
    Column("WRITTEN", alignRight: true) { $0.writtenBytes.map { ByteCount(bytes: $0).description } ?? "-" },
    Column("PROCESSES", alignRight: true) { $0.processes.map { "\($0)" } ?? "-" },
  ]

  /// Thousandths of a core as percent.
  private static func tenths(_ milliCPU: UInt64) -> String { "\(milliCPU / 10).\(milliCPU % 10)" }
}
