import CLinux
import GRPCCore

/// Gives back, soon after calls have come, the memory that only they needed: what the allocator keeps
/// of freed blocks, and the mapped pages of the executable. Of the latter a start touches most, because
/// Swift's runtime looks through all protocol conformances there are; the few that go on being used
/// come back from the page cache.
final class IdleMemory: ServerInterceptor {
  private let calls: AsyncStream<Void>
  private let feed: AsyncStream<Void>.Continuation

  /// Long enough that a burst of calls is trimmed after once or twice, not after each.
  private static let delay: Duration = .seconds(3)

  /// Before there are threads: what is free in one heap is no use to another, and a page with one block in use can't be
  /// given back.
  static func limitHeaps() { bh_limit_heaps(2) }

  init() {
    (calls, feed) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    // The start is worth as much as a call.
    feed.yield()
  }

  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    defer { feed.yield() }
    return try await next(request, context)
  }

  /// Until the task is cancelled.
  func run() async {
    for await _ in calls {
      do { try await Task.sleep(for: Self.delay) } catch { return }
      bh_trim_heap()
      bh_unmap_clean_code()
    }
  }
}
