import Common
import Synchronization

/// Something that happened to a container or a pod sandbox, with how all of the pod was right after.
public struct PodEvent: Sendable {
  public enum Kind: Sendable, Equatable { case created, started, stopped, deleted }
  public var kind: Kind
  /// The container's id, or the sandbox's.
  public var subject: String
  /// Nanoseconds since 1970.
  public var time: Int64
  public var pod: PodStatus
  public var containers: [ContainerStatus]
}

/// Gives every event to whoever subscribes. One who does not keep up is cut off, so that nobody's slowness
/// holds memory or another's events.
final class EventFeed: Sendable {
  private struct Subscriber {
    let feed: AsyncStream<PodEvent>.Continuation
    let overflow: Latch
  }

  private struct State {
    var next: UInt64 = 0
    var subscribers: [UInt64: Subscriber] = [:]
    var closed = false
  }

  /// How many events may wait for one subscriber.
  static let mostWaiting = 1024

  private let state = Mutex(State())

  var hasSubscribers: Bool { state.withLock { !$0.subscribers.isEmpty } }

  func subscribe() -> EventSubscription {
    let (events, feed) = AsyncStream.makeStream(of: PodEvent.self, bufferingPolicy: .bufferingOldest(Self.mostWaiting))
    let overflow = Latch()
    let id = state.withLock { state -> UInt64? in
      guard !state.closed else { return nil }
      state.next += 1
      state.subscribers[state.next] = Subscriber(feed: feed, overflow: overflow)
      return state.next
    }
    if let id {
      feed.onTermination = { [weak self] _ in _ = self?.state.withLock { $0.subscribers.removeValue(forKey: id) } }
    } else {
      feed.finish()
    }
    return EventSubscription(events: events, overflow: overflow)
  }

  func publish(_ event: PodEvent) {
    let late = state.withLock { state -> [Subscriber] in
      var late: [Subscriber] = []
      for (id, subscriber) in state.subscribers {
        guard case .dropped = subscriber.feed.yield(event) else { continue }
        late.append(subscriber)
        state.subscribers[id] = nil
      }
      return late
    }
    for subscriber in late { subscriber.overflow.open() }
  }

  /// Ends all subscriptions, and those to come: the daemon ends.
  func close() {
    let all = state.withLock { state in
      state.closed = true
      defer { state.subscribers = [:] }
      return state.subscribers.values.map(\.feed)
    }
    for feed in all { feed.finish() }
  }
}

/// One subscriber's events, in order. They end when the daemon does.
public struct EventSubscription: Sendable {
  let events: AsyncStream<PodEvent>
  let overflow: Latch

  /// Calls `body` with each event until the daemon ends. Throws `resourceExhausted`, cancelling a `body` that
  /// still runs, once too many events wait for it.
  public func forEach(_ body: @escaping @Sendable (PodEvent) async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { for await event in events { try await body(event) } }
      group.addTask {
        await overflow.wait()
        try Task.checkCancellation()
        throw BulkheadError(
          .resourceExhausted,
          "events were read too slowly: \(EventFeed.mostWaiting) were waiting; list the pods and containers, and subscribe again"
        )
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }
}
