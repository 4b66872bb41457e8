import GRPCCore

/// The requests of one streaming call, for handlers that read the first themselves and hand the others to a task. One
/// reader at a time: a second one gets `internalError` instead of a request.
public actor RequestReader<Request: Sendable> {
  /// Nil while somebody reads.
  private var iterator: RPCAsyncSequence<Request, any Error>.AsyncIterator?

  public init(_ requests: RPCAsyncSequence<Request, any Error>) {
    iterator = requests.makeAsyncIterator()
  }

  /// Nil at the end.
  public func next() async throws -> Request? {
    guard var iterator else {
      throw RPCError(code: .internalError, message: "two tasks read the requests of one call")
    }
    self.iterator = nil
    defer { self.iterator = iterator }
    return try await iterator.next(isolation: self)
  }
}
