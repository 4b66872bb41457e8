import Common
import FoundationEssentials
import NIOCore
import Synchronization

/// Port-forward over SPDY: many connections, each an error and a data stream. What goes wrong with one is
/// told on its error stream and ends it alone.
struct SPDYPortForwardSession: Sendable {
  static let protocolName = "portforward.k8s.io"

  typealias Pairs = StreamPairs<SPDYStream>

  let request: PortForwardSessionRequest
  let backend: any StreamingBackend
  let limits: SessionLimits

  func serve(_ chunks: some AsyncSequence<ByteBuffer, any Error> & Sendable, _ wire: any Wire) async throws {
    let connection = SPDYConnection(wire: wire)
    let (opened, feed) = AsyncStream.makeStream(of: SPDYStream.self)
    try await whileConnected(limits) {
      defer { feed.finish() }
      try await connection.read(chunks, accept: { _ in true }, opened: { feed.yield($0) })
    } work: {
      try await forward(opened, connection)
    } probe: {
      try await connection.probeWhileStalled(every: $0)
    } finish: {
      await connection.finish()
    }
  }

  /// Ends when no more streams come and all connections are done.
  private func forward(_ opened: AsyncStream<SPDYStream>, _ connection: SPDYConnection) async throws {
    let pairs = PairTable()
    try await withThrowingDiscardingTaskGroup { group in
      for await stream in opened {
        do throws(BulkheadError) {
          let request = try Pairs.Request(headers: stream.headers, stream: stream.id)
          // Nobody reads what a client might send on an error stream.
          if request.kind == .error { stream.input.abandon() }
          switch pairs.add(request, stream) {
          case .complete(let pair): group.addTask { try await serve(pair, connection) }
          case .refused(let why): group.addTask { try await refuse(stream, why, connection) }
          case .waiting:
            group.addTask {
              try await Task.sleep(for: limits.streamCreation)
              guard let half = pairs.expire(request.connection) else { return }
              try await refuse(half.stream, "timed out waiting for the request's other stream", connection)
            }
          }
        } catch {
          group.addTask { try await refuse(stream, error.message, connection) }
        }
      }
      group.cancelAll()
    }
  }

  private func serve(_ pair: Pairs.Pair, _ connection: SPDYConnection) async throws {
    defer {
      connection.remove(pair.data)
      connection.remove(pair.error)
    }
    do {
      try await unlessReset(pair.data) {
        try await backend.portForward(
          pod: request.pod, port: pair.port, SPDYByteChannel(stream: pair.data))
      }
    } catch is StreamReset {
    } catch {
      try Task.checkCancellation()
      try await tell(pair.error, Self.failure(error, pair.port, request.pod))
    }
    try await finish(pair.data)
    try await finish(pair.error)
  }

  static func failure(_ error: any Error, _ port: UInt16, _ pod: PodID) -> String {
    "error forwarding port \(port) to pod \(pod.short): \(printable("\(error)"))"
  }

  /// A stream that can't be served: its client is told where that can be, on error streams; others are reset.
  private func refuse(_ stream: SPDYStream, _ why: String, _ connection: SPDYConnection) async throws {
    defer { connection.remove(stream) }
    if stream.headers["streamtype"] == Pairs.Kind.error.rawValue {
      try await tell(stream, why)
      try await finish(stream)
    } else {
      try await stream.reset(.cancel)
    }
  }

  private func tell(_ stream: SPDYStream, _ text: String) async throws {
    do { try await stream.write(Data(text.utf8)) } catch is StreamReset {}
  }

  private func finish(_ stream: SPDYStream) async throws {
    do { try await stream.finish() } catch is StreamReset {}
  }

  /// Cancels `body` when the client resets the stream.
  private func unlessReset(_ stream: SPDYStream, _ body: @escaping @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask { try await body() }
      group.addTask {
        await stream.wasEnded.wait()
        try Task.checkCancellation()
        throw StreamReset()
      }
      try await group.next()
    }
  }
}

/// One forwarded connection, over SPDY.
private struct SPDYByteChannel: ByteChannel {
  let stream: SPDYStream

  var input: ClientInput { ClientInput(pipe: stream.input) }
  func write(_ bytes: Data) async throws { try await stream.write(bytes) }
  func closeOutput() async throws { try await stream.finish() }
}

private final class PairTable: Sendable {
  private let pairs = Mutex(SPDYPortForwardSession.Pairs())

  func add(
    _ request: SPDYPortForwardSession.Pairs.Request, _ stream: SPDYStream
  ) -> SPDYPortForwardSession.Pairs.Outcome {
    pairs.withLock { $0.add(request, stream) }
  }

  func expire(_ connection: String) -> (kind: SPDYPortForwardSession.Pairs.Kind, stream: SPDYStream)? {
    pairs.withLock { $0.expire(connection) }
  }
}
