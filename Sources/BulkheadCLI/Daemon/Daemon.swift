import CRI
import Common
import GRPCCore
import GRPCNGHTTP2
import Glibc
import LinuxSystem
import OperatorAPI

typealias Operator = Bulkhead_Operator_V1_Operator

/// The daemon's services over its socket.
struct Daemon: Sendable {
  let runtime: Runtime_V1_RuntimeService.Client<NGHTTP2ClientTransport>
  let images: Runtime_V1_ImageService.Client<NGHTTP2ClientTransport>
  let node: Operator.Client<NGHTTP2ClientTransport>
  /// For calls that answer soon.
  let quick: CallOptions
  /// For calls that take as long as what they do: pulls, execs.
  let patient: CallOptions

  static let defaultTimeout = Duration.seconds(120)

  fileprivate init(_ client: GRPCClient<NGHTTP2ClientTransport>, timeout: Duration?) {
    runtime = .init(wrapping: client)
    images = .init(wrapping: client)
    node = .init(wrapping: client)
    var quick = CallOptions.defaults
    quick.timeout = timeout ?? Self.defaultTimeout
    var patient = CallOptions.defaults
    patient.timeout = timeout
    self.quick = quick
    self.patient = patient
  }
}

/// Where to find the daemon, as options and environment say.
struct Connection: Sendable {
  let socket: String
  let timeout: Duration?

  init(_ options: GlobalOptions, _ context: CommandContext) {
    let fromEnvironment = context.environment["BULKHEAD_SOCKET"].flatMap { $0.isEmpty ? nil : $0 }
    socket = options.socket ?? fromEnvironment ?? GlobalOptions.defaultSocket
    timeout = options.timeout?.duration
  }

  /// Runs `body` with the daemon connected. What its calls throw comes as a `CommandFailure`.
  func withDaemon<Result: Sendable>(
    _ body: @Sendable @escaping (Daemon) async throws -> Result
  ) async throws -> Result {
    do {
      return try await withGRPCClient(transport: .unix(path: socket)) { client in
        try await body(Daemon(client, timeout: timeout))
      }
    } catch let error as RPCError {
      if Task.isCancelled { throw CancellationError() }
      throw failure(error)
    } catch let error as BulkheadError {
      throw CommandFailure(error.description)
    }
  }

  private func failure(_ error: RPCError) -> CommandFailure {
    let path = printable(socket)
    if let cause = error.cause as? SystemError {
      switch cause.number {
      case ENOENT, ECONNREFUSED:
        return CommandFailure("no daemon answers on \(path): is bulkheadd running? (systemctl status bulkheadd)")
      case EACCES, EPERM: return CommandFailure("\(path) is not open to this user: run as root")
      default: break
      }
    }
    switch error.code {
    case .deadlineExceeded where error.message.isEmpty || timeout != nil:
      return CommandFailure("the daemon on \(path) did not answer in time: \(printable(error.message))")
    case .unimplemented: return CommandFailure("this daemon can't do that: \(printable(error.message))")
    default: return CommandFailure(printable(error.message.isEmpty ? "\(error.code)" : error.message, limit: 4096))
    }
  }
}
