import Common
import ContainerLog
import Foundation
import GRPCCore
import GRPCNGHTTP2
import OperatorAPI
import Pods

/// The calls of `bulkheadctl` that last as long as their caller.
extension OperatorService {
  public func exec(
    request: RPCAsyncSequence<Bulkhead_Operator_V1_ProcessRequest, any Error>,
    response: RPCWriter<Bulkhead_Operator_V1_ProcessResponse>, context: ServerContext
  ) async throws {
    let requests = ProcessRequests(request)
    guard case .exec(let start)? = try await requests.next() else { throw Self.firstRequest("an exec") }
    let command = try Validation.noNUL(start.command, "command")
    guard command.first?.isEmpty == false else { throw Validation.invalid("command", "is empty") }
    let client = CallerProcess(requests, response, stdin: start.stdin)
    try await response.started(terminal: start.terminal, stdin: start.stdin)
    let code = try await requests.reading(unless: start.stdin) {
      try await pods.exec(
        container: start.containerID, command: command, terminal: start.terminal, client: client)
    }
    try await response.write(.with { $0.exit.code = Int32(code) })
  }

  public func attach(
    request: RPCAsyncSequence<Bulkhead_Operator_V1_ProcessRequest, any Error>,
    response: RPCWriter<Bulkhead_Operator_V1_ProcessResponse>, context: ServerContext
  ) async throws {
    let requests = ProcessRequests(request)
    guard case .attach(let start)? = try await requests.next() else { throw Self.firstRequest("an attach") }
    let container = try pods.status(container: start.containerID)
    let stdin = start.stdin && container.configuration.stdin
    let client = CallerProcess(requests, response, stdin: stdin)
    try await response.started(terminal: container.configuration.terminal, stdin: stdin)
    let streams: ProcessStreamSet = stdin ? [.stdin, .stdout, .stderr] : [.stdout, .stderr]
    let exit = try await requests.reading(unless: stdin) {
      try await pods.attach(container: container.id.text, streams: streams, client: client)
    }
    try await response.write(
      .with {
        $0.exit.code = exit?.code ?? 0
        $0.exit.message = exit?.message ?? ""
      })
  }

  public func debug(
    request: RPCAsyncSequence<Bulkhead_Operator_V1_ProcessRequest, any Error>,
    response: RPCWriter<Bulkhead_Operator_V1_ProcessResponse>, context: ServerContext
  ) async throws {
    let requests = ProcessRequests(request)
    guard case .debug(let start)? = try await requests.next() else { throw Self.firstRequest("a debug") }
    guard node.guestShell else {
      throw BulkheadError(
        .permissionDenied,
        "a shell in the guest is not allowed here: set guest_shell = true in [debug] of the daemon's configuration")
    }
    let image = start.image.isEmpty ? node.debugImage ?? "" : start.image
    guard !image.isEmpty else {
      throw BulkheadError(
        .invalidArgument,
        "the guest has no programs of its own: name an image on this node to take them from (--image, or debug.image in the daemon's configuration)"
      )
    }
    let command = try Validation.noNUL(start.command, "command")
    let client = CallerProcess(requests, response, stdin: start.stdin)
    try await response.started(terminal: start.terminal, stdin: start.stdin)
    let code = try await requests.reading(unless: start.stdin) {
      try await pods.debug(
        pod: start.podID, image: try Validation.name(image, "image", limit: 1024), command: command,
        terminal: start.terminal, client: client)
    }
    try await response.write(.with { $0.exit.code = Int32(code) })
  }

  public func portForward(
    request: RPCAsyncSequence<Bulkhead_Operator_V1_PortRequest, any Error>,
    response: RPCWriter<Bulkhead_Operator_V1_PortResponse>, context: ServerContext
  ) async throws {
    let requests = RequestReader(request)
    guard let first = try await requests.next() else { throw Self.firstRequest("a pod and a port") }
    guard let port = UInt16(exactly: first.port), port > 0 else {
      throw Validation.invalid("port", "\(first.port) is not 1 to 65535")
    }
    try await pods.forward(
      pod: first.podID, port: port, client: CallerPort(input: PortInput(requests: requests), response: response))
  }

  static func firstRequest(_ what: String) -> BulkheadError {
    BulkheadError(.invalidArgument, "the first request has to be \(what)")
  }
}

extension RPCWriter<Bulkhead_Operator_V1_ProcessResponse> {
  func started(terminal: Bool, stdin: Bool) async throws {
    try await write(.with { $0.started = .with { ($0.terminal, $0.stdin) = (terminal, stdin) } })
  }
}

/// The requests of one call about a process.
struct ProcessRequests: Sendable {
  private let requests: RequestReader<Bulkhead_Operator_V1_ProcessRequest>
  let sizes: AsyncStream<TerminalDimensions>
  private let newSize: AsyncStream<TerminalDimensions>.Continuation

  init(_ requests: RPCAsyncSequence<Bulkhead_Operator_V1_ProcessRequest, any Error>) {
    self.requests = RequestReader(requests)
    (sizes, newSize) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  func next() async throws -> Bulkhead_Operator_V1_ProcessRequest.OneOf_Kind? {
    while let request = try await requests.next() {
      if let kind = request.kind { return kind }
    }
    return nil
  }

  /// The next piece of stdin; nil at its end. Sizes that come between go where they belong.
  func nextInput() async throws -> Data? {
    while let kind = try await next() {
      switch kind {
      case .stdin(let bytes): return bytes
      case .resize(let size):
        newSize.yield(.init(columns: UInt16(clamping: size.columns), rows: UInt16(clamping: size.rows)))
      case .stdinEnd: return nil
      case .exec, .attach, .debug: throw BulkheadError(.invalidArgument, "the process was started already")
      }
    }
    return nil
  }

  /// Runs `body` while the requests are read here, if nobody else does: a caller without input still has a
  /// terminal's sizes to tell.
  func reading<Result: Sendable>(
    unless isRead: Bool, _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    try await withThrowingTaskGroup(of: Result?.self) { group in
      group.addTask { try await body() }
      if !isRead {
        group.addTask {
          while try await nextInput() != nil {}
          return nil
        }
      }
      defer {
        newSize.finish()
        group.cancelAll()
      }
      while let result = try await group.next() {
        if let result { return result }
      }
      throw CancellationError()
    }
  }
}

/// The caller of Exec, Attach or Debug, as the pods know clients.
struct CallerProcess: ProcessClient {
  struct Input: AsyncSequence, AsyncIteratorProtocol, Sendable {
    let requests: ProcessRequests

    func makeAsyncIterator() -> Input { self }
    func next() async throws -> Data? { try await requests.nextInput() }
  }

  let input: Input?
  let terminalSizes: AsyncStream<TerminalDimensions>
  private let response: RPCWriter<Bulkhead_Operator_V1_ProcessResponse>

  init(_ requests: ProcessRequests, _ response: RPCWriter<Bulkhead_Operator_V1_ProcessResponse>, stdin: Bool) {
    input = stdin ? Input(requests: requests) : nil
    terminalSizes = requests.sizes
    self.response = response
  }

  func write(_ bytes: Data, to stream: LogStream) async throws {
    try await response.write(.with { if stream == .stdout { $0.stdout = bytes } else { $0.stderr = bytes } })
  }
}

struct PortInput: AsyncSequence, AsyncIteratorProtocol, Sendable {
  let requests: RequestReader<Bulkhead_Operator_V1_PortRequest>

  func makeAsyncIterator() -> PortInput { self }
  func next() async throws -> Data? { try await requests.next()?.data }
}

private struct CallerPort: PortClient {
  let input: PortInput
  let response: RPCWriter<Bulkhead_Operator_V1_PortResponse>

  func connected() async throws { try await response.write(.with { $0.connected = true }) }
  func write(_ bytes: Data) async throws { try await response.write(.with { $0.data = bytes }) }
  func closeOutput() async throws { try await response.write(.with { $0.end = true }) }
}
