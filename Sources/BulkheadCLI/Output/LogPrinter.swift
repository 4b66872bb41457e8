import CRI
import Common
import ContainerLog

/// Prints a container's log as its output: stdout to stdout, stderr to stderr.
struct LogPrinter: Sendable {
  let output: Output
  var timestamps = false
  /// Nanoseconds since 1970; what is older is left out.
  var since = Int64.min

  /// Between looks at the file.
  private static let pause = Duration.milliseconds(25)
  /// A look at the container's status costs a call: one in so many looks.
  private static let looksPerStatus = 4

  func print(_ entries: [LogEntry]) throws {
    for entry in entries where entry.timestamp >= since {
      let bytes = (timestamps ? LogTimestamp.bytes(entry.timestamp) + [UInt8(ascii: " ")] : []) + entry.output
      switch entry.stream {
      case .stdout: try output.write(bytes)
      case .stderr: try output.writeError(bytes)
      }
    }
  }

  /// What is in the file by now.
  func printRest(_ reader: inout ContainerLogReader) throws {
    while case let entries = try reader.read(), !entries.isEmpty { try print(entries) }
  }

  /// Prints until the container has ended and its log is complete; returns its last status.
  func follow(
    _ reader: inout ContainerLogReader, _ daemon: Daemon, container id: String
  ) async throws -> Runtime_V1_ContainerStatus {
    while true {
      // The daemon says that a container has ended once its log is complete: asked before the log is read.
      let status = try await daemon.status(container: id)
      try printRest(&reader)
      if status.state != .containerRunning, status.state != .containerCreated { return status }
      for _ in 0..<Self.looksPerStatus {
        try await Task.sleep(for: Self.pause)
        try printRest(&reader)
      }
    }
  }
}

extension Daemon {
  func status(container id: String) async throws -> Runtime_V1_ContainerStatus {
    try await runtime.containerStatus(.with { $0.containerID = id }, options: quick).status
  }
}
