import NIOCore
import Synchronization

/// When anything was last read from or written to a session.
final class ActivityClock: Sendable {
  private let last = Mutex(ContinuousClock.now)

  func touch() { last.withLock { $0 = .now } }

  /// Returns when nothing has happened for `limit`, or the calling task is cancelled.
  func waitUntilIdle(for limit: Duration) async {
    while !Task.isCancelled {
      let left = limit - last.withLock { $0 }.duration(to: .now)
      guard left > .zero else { return }
      try? await Task.sleep(for: left)
    }
  }
}

/// The socket of a session, on which every read and write counts as activity.
struct SocketWire: Wire {
  let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  let activity: ActivityClock

  func write(_ bytes: ByteBuffer) async throws {
    try await outbound.write(bytes)
    activity.touch()
  }

  func probe(_ bytes: ByteBuffer) async throws { try await outbound.write(bytes) }

  func finish() { outbound.finish() }
}

struct SocketChunks: AsyncSequence, Sendable {
  typealias Element = ByteBuffer

  let inbound: NIOAsyncChannelInboundStream<ByteBuffer>
  let activity: ActivityClock

  func makeAsyncIterator() -> Iterator { Iterator(inbound: inbound.makeAsyncIterator(), activity: activity) }

  struct Iterator: AsyncIteratorProtocol {
    var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    let activity: ActivityClock

    mutating func next() async throws -> ByteBuffer? {
      let bytes = try await inbound.next()
      activity.touch()
      return bytes
    }
  }
}
