import Common
import Testing

@testable import Pods

@Suite struct EventTests {
  private func pod(_ id: PodID, _ state: PodState) -> PodStatus {
    PodStatus(
      id: id, spec: exampleSpec(), state: state, reason: "", createdAt: 1, phases: [], vcpus: 1,
      memory: .mebibytes(256), uid: 1000, networkNamespace: "/n", addresses: [])
  }

  @Test func changesOfASandboxAreToldInOrderToEverybody() async throws {
    let store = SnapshotStore()
    let subscriptions = [store.events.subscribe(), store.events.subscribe()]
    let id = PodID.random()
    store.publish(pod(id, .starting))
    store.publish(pod(id, .ready))
    store.publish(pod(id, .ready))
    store.publish(pod(id, .stopped))
    store.remove(id)
    store.remove(id)
    store.events.close()
    for subscription in subscriptions {
      var kinds: [PodEvent.Kind] = []
      for await event in subscription.events {
        kinds.append(event.kind)
        #expect(event.subject == id.text && event.pod.id == id)
      }
      #expect(kinds == [.created, .started, .stopped, .deleted])
    }
  }

  @Test func aPodThatNeverStartedIsNotTold() async throws {
    let store = SnapshotStore()
    let subscription = store.events.subscribe()
    let id = PodID.random()
    store.publish(pod(id, .starting))
    store.remove(id)
    store.events.close()
    for await event in subscription.events { Issue.record("told: \(event.kind)") }
  }

  @Test func whoReadsTooSlowlyIsCutOffAndHoldsNothing() async throws {
    let store = SnapshotStore()
    let slow = store.events.subscribe()
    let (never, whoNeverComes) = AsyncStream<Void>.makeStream()
    let stuck = Task { try await slow.forEach { _ in for await _ in never {} } }
    let quick = store.events.subscribe()
    let count = EventFeed.mostWaiting / 4 + 100
    let (progress, seen) = AsyncStream<Void>.makeStream()
    let reader = Task {
      defer { seen.finish() }
      try await quick.forEach { _ in seen.yield() }
    }
    var events = progress.makeAsyncIterator()
    for _ in 1...count {
      let id = PodID.random()
      store.publish(pod(id, .starting))
      store.publish(pod(id, .ready))
      store.publish(pod(id, .stopped))
      store.remove(id)
      for _ in 0..<4 { try #require(await events.next() != nil) }
    }
    let error = await #expect(throws: BulkheadError.self) { try await stuck.value }
    #expect(error?.code == .resourceExhausted)
    store.events.close()
    try await reader.value
    #expect(await events.next() == nil, "told more than there was")
    whoNeverComes.finish()
    #expect(!store.events.hasSubscribers)
  }
}
