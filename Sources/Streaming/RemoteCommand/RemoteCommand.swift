import Common
import FoundationEssentials

/// What a remote command session does: Kubernetes speaks of exec and attach with the same protocols.
enum RemoteCommand: Sendable {
  case exec(ExecSessionRequest)
  case attach(AttachSessionRequest)

  var streams: StandardStreams {
    switch self {
    case .exec(let request): request.streams
    case .attach(let request): request.streams
    }
  }

  /// Runs it to its end and says how that was. Throws only where the session is over anyway.
  func run(_ backend: any StreamingBackend, _ streams: any ProcessStreams) async throws -> CommandStatus {
    do {
      switch self {
      case .exec(let request):
        return switch try await backend.exec(request, streams) {
        case .exited(code: 0): .success
        case .exited(let code): .exited(code: code)
        case .failed(let why): .failed("error executing command in container: \(why)")
        }
      case .attach(let request):
        try await backend.attach(request, streams)
        return .success
      }
    } catch {
      try Task.checkCancellation()
      let what = if case .exec = self { "executing command in" } else { "attaching to" }
      return .failed("error \(what) container: \(printable("\(error)"))")
    }
  }
}

/// How a remote command ended, as its client is told on the error stream.
enum CommandStatus: Hashable, Sendable {
  case success
  /// Not 0.
  case exited(code: UInt8)
  case failed(String)

  /// Protocols from v4 on carry a `metav1.Status`; those before only text, and none for success.
  func encoded(asStatus: Bool) throws -> Data {
    guard asStatus else { return Data((message ?? "").utf8) }
    return try JSONEncoder().encode(status)
  }

  private var message: String? {
    switch self {
    case .success: nil
    case .exited(let code): "command terminated with non-zero exit code: \(code)"
    case .failed(let why): "Internal error occurred: \(why)"
    }
  }

  private var status: Status {
    switch self {
    case .success: Status(status: "Success")
    case .exited(let code):
      Status(
        status: "Failure", message: message, reason: "NonZeroExitCode",
        details: .init(causes: [.init(reason: "ExitCode", message: "\(code)")]))
    case .failed(let why):
      Status(
        status: "Failure", message: message, reason: "InternalError", details: .init(causes: [.init(message: why)]),
        code: 500)
    }
  }
}

/// The part of Kubernetes' `metav1.Status` that is used here.
private struct Status: Encodable {
  struct Metadata: Encodable {}
  struct Details: Encodable {
    var causes: [Cause]
  }
  struct Cause: Encodable {
    var reason: String?
    var message: String
  }

  var metadata = Metadata()
  var status: String
  var message: String?
  var reason: String?
  var details: Details?
  var code: Int?
}
