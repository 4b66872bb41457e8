import GRPCCore
import Synchronization

/// The requests of one streaming call, for handlers that read the first themselves and hand the others to a task.
///
/// Unchecked, because an iterator is not Sendable and nothing that is may lend it to a call that suspends. It is safe
/// because `isReading` lets one reader in at a time, and its mutex puts what one did before what the next does; a
/// second reader at the same time gets `internalError` instead of a request.
public final class RequestReader<Request: Sendable>: @unchecked Sendable {
  private var iterator: RPCAsyncSequence<Request, any Error>.AsyncIterator
  private let isReading = Mutex(false)

  public init(_ requests: RPCAsyncSequence<Request, any Error>) {
    iterator = requests.makeAsyncIterator()
  }

  /// Nil at the end.
  public func next() async throws -> Request? {
    let isFree = isReading.withLock { reading in
      defer { reading = true }
      return !reading
    }
    guard isFree else { throw RPCError(code: .internalError, message: "two tasks read the requests of one call") }
    defer { isReading.withLock { $0 = false } }
    return try await iterator.next()
  }
}
