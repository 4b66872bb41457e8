import Common
import Synchronization
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
    let stuck = Task { try await slow.forEach { _ in try await Task.sleep(for: .seconds(600)) } }
    let quick = store.events.subscribe()
    let count = EventFeed.mostWaiting / 4 + 100
    let seen = Mutex(0)
    let reader = Task { try await quick.forEach { _ in seen.withLock { $0 += 1 } } }
    for round in 1...count {
      let id = PodID.random()
      store.publish(pod(id, .starting))
      store.publish(pod(id, .ready))
      store.publish(pod(id, .stopped))
      store.remove(id)
      while seen.withLock({ $0 < round * 4 }) { try await Task.sleep(for: .milliseconds(1)) }
    }
    let error = await #expect(throws: BulkheadError.self) { try await stuck.value }
    #expect(error?.code == .resourceExhausted)
    store.events.close()
    try await reader.value
    #expect(seen.withLock { $0 } == count * 4)
    #expect(!store.events.hasSubscribers)
  }
}
