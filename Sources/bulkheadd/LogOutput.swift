import BulkheadConfiguration
import Foundation
import Logging

/// Sets up swift-log for the process: lines on stderr, as text or as JSON.
func bootstrapLogging(_ settings: Configuration.Daemon) {
  let level = Logger.Level(rawValue: settings.logLevel.rawValue) ?? .info
  let json = settings.logFormat == .json
  LoggingSystem.bootstrap { label in
    LineLogHandler(label: label, logLevel: level, json: json)
  }
}

/// One line an event: time, level, message, then the metadata by name.
struct LineLogHandler: LogHandler {
  let label: String
  var logLevel: Logger.Level
  let json: Bool
  var metadata: Logger.Metadata = [:]

  init(label: String, logLevel: Logger.Level, json: Bool) {
    self.label = label
    self.logLevel = logLevel
    self.json = json
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
    let time = Date().formatted(.iso8601.year().month().day().time(includingFractionalSeconds: true))
    let line = json ? jsonLine(time, event, all) : textLine(time, event, all)
    FileHandle.standardError.write(Data((line + "\n").utf8))
  }

  private func textLine(_ time: String, _ event: LogEvent, _ all: [(key: String, value: Logger.MetadataValue)])
    -> String
  {
    let fields = all.map { " \($0.key)=\(quoted("\($0.value)"))" }.joined()
    return "\(time)Z \(event.level.rawValue) \(event.message)\(fields)"
  }

  /// Quoted where it has spaces, so that a line can be split again.
  private func quoted(_ text: String) -> String {
    text.contains(where: { $0 == " " || $0 == "\"" || $0.isNewline }) ? text.debugDescription : text
  }

  private func jsonLine(_ time: String, _ event: LogEvent, _ all: [(key: String, value: Logger.MetadataValue)])
    -> String
  {
    var fields = Dictionary(all.map { ($0.key, "\($0.value)") }, uniquingKeysWith: { $1 })
    fields["time"] = "\(time)Z"
    fields["level"] = event.level.rawValue
    fields["message"] = "\(event.message)"
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let data = (try? encoder.encode(fields)) ?? Data()
    return String(decoding: data, as: UTF8.self)
  }
}
