import Common
import Synchronization

/// The stream of one blob over as many requests as it takes: it knows how far it got, and each `run` asks for the
/// rest.
final class BlobTransfer: Sendable {
  private struct Position {
    var next: UInt64
    var lastAsked: UInt64
  }

  private let content: Content
  private let sink: @Sendable ([UInt8]) async throws -> Void
  private let position: Mutex<Position>

  init(_ content: Content, from offset: UInt64, sink: @escaping @Sendable ([UInt8]) async throws -> Void) {
    self.content = content
    self.sink = sink
    position = Mutex(Position(next: offset, lastAsked: offset))
  }

  /// Whether bytes came since this was called before.
  func advancedSinceLastAsked() -> Bool {
    position.withLock { position in
      defer { position.lastAsked = position.next }
      return position.next > position.lastAsked
    }
  }

  /// Asks `connection` for what is missing, and returns when all of it went to the sink.
  func run(on connection: RegistryConnection) async throws {
    let start = position.withLock(\.next)
    guard start < content.size else { return }
    let server = connection.endpoint.authority
    let range = start > 0 ? [("range", "bytes=\(start)-\(content.size - 1)")] : []
    let response = try await connection.get("blobs/\(content.digest)", headers: range)
    // A server that knows no ranges begins at the beginning: what is known already is passed over.
    var toSkip = response.status == 206 ? 0 : start
    try check(response, start: response.status == 206 ? start : 0, server)
    while var bytes = try await next(response.body, server) {
      if toSkip > 0 {
        let skipped = min(UInt64(bytes.count), toSkip)
        bytes.removeFirst(Int(skipped))
        toSkip -= skipped
      }
      guard !bytes.isEmpty else { continue }
      try advance(by: UInt64(bytes.count), server)
      try await sink(bytes)
    }
    try Task.checkCancellation()
    if position.withLock(\.next) < content.size { throw RegistryFailure.truncated(server) }
  }

  /// The next piece of the body. Only what the network throws becomes a failure to be retried, never what the
  /// sink throws.
  private func next(_ body: HTTPAnswerBody, _ server: String) async throws -> [UInt8]? {
    do {
      return try await body.next()
    } catch {
      try Task.checkCancellation()
      throw RegistryFailure.sorting(error, server: server)
    }
  }

  private func advance(by count: UInt64, _ server: String) throws {
    try position.withLock { position in
      guard count <= content.size - position.next else { throw tooLong(server) }
      position.next += count
    }
  }

  /// Refuses by its header an answer that can't be the blob, before any of it is taken.
  private func check(_ response: HTTPAnswer, start: UInt64, _ server: String) throws {
    if response.status == 206 {
      let range = response.head.first("content-range") ?? ""
      guard range.hasPrefix("bytes \(start)-") else {
        throw RegistryFailure.content(BulkheadError(.dataLoss, "\(server) sent another range than was asked for"))
      }
    }
    let length = response.head.first("content-length").flatMap { UInt64($0) }
    if let length, length > content.size - start { throw tooLong(server) }
    // A shorter one that says so is wrong content, not a break.
    if let length, length < content.size - start {
      throw RegistryFailure.content(
        BulkheadError(
          .dataLoss, "\(server) has \(length) bytes of \(content.digest), the manifest says \(content.size)"))
    }
  }

  private func tooLong(_ server: String) -> RegistryFailure {
    .content(
      BulkheadError(.dataLoss, "\(server) sent more than the \(content.size) bytes of \(content.digest)"))
  }
}
