/// An answer whose body is still coming. When nobody holds it any more, the request is given up.
struct HTTPAnswer: Sendable {
  let head: HTTPHead
  let body: HTTPAnswerBody

  var status: Int { head.status }
}

/// The body of an answer, for one reader. The request ends with it.
final class HTTPAnswerBody: Sendable {
  private let transfer: HTTPTransfer
  private let loop: CurlLoop

  init(_ transfer: HTTPTransfer, _ loop: CurlLoop) {
    self.transfer = transfer
    self.loop = loop
  }

  deinit { loop.order(.remove(transfer)) }

  func head() async throws -> HTTPHead { try await cancellable { try await transfer.head() } }

  /// The next bytes, as they come; nil after the last. Throws `HTTPFailure` or `CancellationError`.
  func next() async throws -> [UInt8]? {
    let piece = try await cancellable { try await transfer.next() }
    if piece.makesRoom { loop.order(.resume(transfer)) }
    return piece.bytes
  }

  /// All of it. Throws `HTTPFailure.tooLong` as soon as there is more than `limit`.
  func collect(upTo limit: Int) async throws -> [UInt8] {
    var all: [UInt8] = []
    while let bytes = try await next() {
      guard bytes.count <= limit - all.count else { throw HTTPFailure.tooLong(limit: limit) }
      all += bytes
    }
    return all
  }

  private func cancellable<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
    try await withTaskCancellationHandler(operation: body) {
      transfer.cancel()
      loop.order(.remove(transfer))
    }
  }
}
