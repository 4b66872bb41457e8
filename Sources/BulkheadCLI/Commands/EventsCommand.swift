import ArgumentParser
import CRI
import Common
import Foundation

struct EventsCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Shows what happens to pods and containers, from now on until interrupted.",
    discussion: "With --output json, one object a line.")

  @OptionGroup var global: GlobalOptions

  func run(in context: CommandContext) async throws {
    let (output, format) = (context.output, global.output)
    try await Connection(global, context).withDaemon { daemon in
      try await daemon.runtime.getContainerEvents(.init(), options: daemon.patient) { response in
        for try await event in response.messages {
          let line = EventLine(event)
          try output.write((format == .json ? try line.json() : line.text) + "\n")
        }
      }
    }
  }
}

struct EventLine: Encodable {
  let time: String
  let event: String
  let id: String
  let pod: String
  /// Empty for a pod.
  let container: String
  let exitCode: Int32?
  let reason: String?

  init(_ event: Runtime_V1_ContainerEventResponse) {
    time = timestamp(event.createdAt)
    self.event =
      switch event.containerEventType {
      case .containerCreatedEvent: "created"
      case .containerStartedEvent: "started"
      case .containerStoppedEvent: "stopped"
      case .containerDeletedEvent: "deleted"
      case .UNRECOGNIZED(let number): "event \(number)"
      }
    id = event.containerID
    let metadata = event.podSandboxStatus.metadata
    pod = "\(metadata.namespace)/\(metadata.name)"
    let status = event.containersStatuses.first { $0.id == event.containerID }
    container = status?.metadata.name ?? ""
    let ended = event.containerEventType == .containerStoppedEvent ? status : nil
    exitCode = ended?.exitCode
    reason = ended?.reason
  }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  var text: String {
    var words = [time, event, shortID(id), container.isEmpty ? pod : "\(pod)/\(container)"]
    if let exitCode { words.append("exit code \(exitCode)") }
    if let reason { words.append(reason) }
    return words.map { printable($0, limit: 300) }.joined(separator: "  ")
  }
}
