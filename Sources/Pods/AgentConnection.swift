import AgentProtocol
import Common
import GRPCCore
import GRPCNGHTTP2
import GRPCProtobuf
import Hypervisor

typealias Agent = Bulkhead_Agent_V1_Agent
typealias AgentAPI = Agent.Client<NGHTTP2ClientTransport>

/// The daemon's connection to the agent of one virtual machine: dials when first used and again after
/// a loss, proves itself with the machine's secret, gives every call a deadline, and turns what fails
/// into `BulkheadError`s that name the pod.
final class AgentConnection: Sendable {
  /// The vsock port the agent serves on.
  static let port: UInt32 = 1024
  /// For calls that only look or only change the agent's own state.
  static let shortDeadline: Duration = .seconds(10)

  private let client: GRPCClient<NGHTTP2ClientTransport>
  private let runner: Task<Void, Never>
  private let metadata: Metadata
  private let podName: String
  let api: AgentAPI

  init(machine: any VirtualMachine, secret: String, podName: String) {
    let transport = NGHTTP2ClientTransport(connect: { try await machine.dial(port: AgentConnection.port) })
    let client = GRPCClient(transport: transport)
    self.client = client
    self.podName = podName
    metadata = ["bulkhead-secret": "\(secret)"]
    api = AgentAPI(wrapping: client)
    runner = Task { try? await client.runConnections() }
  }

  /// Ends running calls and closes the connection; returns when that is done.
  func close() async {
    runner.cancel()
    await runner.value
  }

  /// One unary call: `doing` completes "cannot ... in pod namespace/name".
  func call<Request: Sendable, Response>(
    _ doing: String, _ request: Request, deadline: Duration = AgentConnection.shortDeadline,
    _ method: @Sendable (AgentAPI, ClientRequest<Request>, CallOptions) async throws -> Response
  ) async throws -> Response {
    var options = CallOptions.defaults
    options.timeout = deadline
    return try await translating(doing) {
      try await method(api, ClientRequest(message: request, metadata: metadata), options)
    }
  }

  /// Metadata for calls that are made on `api` directly: the streaming ones.
  var authentication: Metadata { metadata }

  /// Runs calls made on `api` directly, with errors as `call` gives them.
  func translating<Result>(_ doing: String, _ body: () async throws -> Result) async throws -> Result {
    do { return try await body() } catch let error as RPCError { throw translated(error, doing) }
  }

  private func translated(_ error: RPCError, _ doing: String) -> BulkheadError {
    let text = printable(error.message, limit: 1024)
    let message = "cannot \(doing) in pod \(podName): \(text)"
    switch error.code {
    case .invalidArgument: return BulkheadError(.invalidArgument, message)
    case .notFound: return BulkheadError(.notFound, message)
    case .alreadyExists: return BulkheadError(.alreadyExists, message)
    case .failedPrecondition: return BulkheadError(.failedPrecondition, message)
    case .resourceExhausted: return BulkheadError(.resourceExhausted, message)
    case .unimplemented: return BulkheadError(.unimplemented, message)
    case .aborted: return BulkheadError(.aborted, message)
    case .cancelled: return BulkheadError(.cancelled, message)
    case .deadlineExceeded:
      return BulkheadError(.deadlineExceeded, "cannot \(doing): the agent of pod \(podName) did not answer in time")
    case .unavailable:
      return BulkheadError(.unavailable, "cannot \(doing): the agent of pod \(podName) can't be reached: \(text)")
    default: return BulkheadError(.internalError, message)
    }
  }
}

extension AgentConnection {
  /// Waits until the agent answers, trying again until `limit`: the guest is still booting. The longer it
  /// takes, the longer the pauses: each attempt is an interrupt and an answer to a guest that is slow already.
  func waitUntilServing(limit: Duration) async throws -> Bulkhead_Agent_V1_HealthResponse {
    let clock = ContinuousClock()
    let start = clock.now
    let end = start + limit
    while true {
      do {
        let left = end - clock.now
        return try await call(
          "reach the agent", Bulkhead_Agent_V1_HealthRequest(), deadline: max(left, .milliseconds(1))
        ) {
          try await $0.health(request: $1, options: $2)
        }
      } catch let error as BulkheadError where error.code == .unavailable && clock.now < end {
        try await Task.sleep(for: max(.milliseconds(5), (clock.now - start) / 128))
      }
    }
  }
}
