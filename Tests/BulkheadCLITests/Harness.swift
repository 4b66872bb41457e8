import Foundation
import GRPCCore
import GRPCNGHTTP2

@testable import BulkheadCLI

/// What a command line left: its exit code and what it printed.
struct Outcome: Sendable {
  let code: Int32
  let output: String
  let errors: String
}

/// A directory with a socket, and the files that commands print to.
final class Harness: Sendable {
  let directory: String
  let daemon = FakeDaemon()
  var socket: String { "\(directory)/s" }
  static let now: Int64 = 1_770_000_000_000_000_000

  init() throws {
    directory = "/tmp/bhctl-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  /// Runs `body` while the daemon listens.
  static func serving<Result: Sendable>(
    _ body: @Sendable @escaping (Harness) async throws -> Result
  ) async throws -> Result {
    let harness = try Harness()
    let transport = try NGHTTP2ServerTransport(listeners: [.unix(path: harness.socket)])
    return try await withGRPCServer(transport: transport, services: [harness.daemon]) { _ in try await body(harness) }
  }

  /// Whether a command, which may still run, has written exactly this to its standard output.
  func hasPrinted(_ text: String) throws -> Bool {
    try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".out") }
      .contains { try String(contentsOfFile: "\(directory)/\($0)", encoding: .utf8) == text }
  }

  func ctl(_ arguments: String..., environment: [String: String] = [:]) async throws -> Outcome {
    try await ctl(arguments, environment: environment)
  }

  func ctl(_ arguments: [String], environment: [String: String] = [:]) async throws -> Outcome {
    let name = UUID().uuidString
    let (output, errors) = ("\(directory)/\(name).out", "\(directory)/\(name).err")
    let descriptors: [Int32] = [output, errors].map { (path: String) in
      open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0o600)
    }
    defer { descriptors.forEach { close($0) } }
    let context = CommandContext(
      output: Output(standardOutput: descriptors[0], standardError: descriptors[1]), environment: environment,
      now: { Self.now })
    let code = await runBulkheadctl(["--socket", socket] + arguments, in: context)
    return Outcome(
      code: code, output: try String(contentsOfFile: output, encoding: .utf8),
      errors: try String(contentsOfFile: errors, encoding: .utf8))
  }

  /// Two pods, each with a container; the first's has ended.
  func populate() {
    let ids = ["a1", "a2"].map { $0 + String(repeating: "0", count: 62) }
    daemon.state.withLock { state in
      for (index, id) in ids.enumerated() {
        state.pods.append(
          .with {
            $0.id = id
            $0.metadata.name = index == 0 ? "web" : "数据库"
            $0.metadata.namespace = "shop"
            $0.metadata.uid = "uid-\(index)"
            $0.state = index == 0 ? .sandboxNotready : .sandboxReady
            $0.createdAt = Self.now - Int64(index + 1) * 3_600_000_000_000
          })
        let container = "b\(index + 1)" + String(repeating: "0", count: 62)
        state.containers.append(
          .with {
            $0.id = container
            $0.podSandboxID = id
            $0.metadata.name = "main"
            $0.image.image = "sha256:" + String(repeating: "d", count: 64)
            $0.image.userSpecifiedImage = "example.org/app:1"
            $0.state = index == 0 ? .containerExited : .containerRunning
            $0.createdAt = Self.now - 90_000_000_000
          })
        let log = "\(directory)/\(index).log"
        state.statuses[container] = .with {
          $0.id = container
          $0.state = index == 0 ? .containerExited : .containerRunning
          $0.logPath = log
        }
      }
    }
  }
}
