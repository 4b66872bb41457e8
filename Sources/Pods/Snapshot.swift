import Common
import Synchronization

/// What readers see: all pods and containers at one moment. Mutations publish a changed copy; List,
/// Status and Stats read it and never wait behind a mutation, a stop or a slow guest.
final class SnapshotStore: Sendable {
  struct Snapshot: Sendable {
    var pods: [PodID: PodStatus] = [:]
    var containers: [ContainerID: ContainerStatus] = [:]
  }

  let events = EventFeed()
  private let storage = Mutex(Snapshot())

  var current: Snapshot { storage.withLock { $0 } }

  // Events are published under the lock, so that their order is that of the changes they tell of.

  func publish(_ pod: PodStatus) {
    storage.withLock { snapshot in
      let before = snapshot.pods.updateValue(pod, forKey: pod.id)?.state
      switch (before, pod.state) {
      case (.starting, .ready):
        tell(.created, pod.id.text, of: pod, snapshot)
        tell(.started, pod.id.text, of: pod, snapshot)
      case (.starting, .stopped):
        // It could not be started, nor taken back whole.
        tell(.created, pod.id.text, of: pod, snapshot)
        tell(.stopped, pod.id.text, of: pod, snapshot)
      case (.ready, .stopped): tell(.stopped, pod.id.text, of: pod, snapshot)
      default: break
      }
    }
  }

  func publish(_ container: ContainerStatus) {
    storage.withLock { snapshot in
      let before = snapshot.containers.updateValue(container, forKey: container.id)?.state
      guard let pod = snapshot.pods[container.podID] else { return }
      switch (before, container.state) {
      case (nil, .created): tell(.created, container.id.text, of: pod, snapshot)
      case (.created, .running): tell(.started, container.id.text, of: pod, snapshot)
      case (.created, .exited), (.running, .exited): tell(.stopped, container.id.text, of: pod, snapshot)
      default: break
      }
    }
  }

  func remove(_ pod: PodID) {
    storage.withLock { snapshot in
      guard let removed = snapshot.pods.removeValue(forKey: pod), removed.state != .starting else { return }
      tell(.deleted, pod.text, of: removed, snapshot)
    }
  }

  func remove(_ container: ContainerID) {
    storage.withLock { snapshot in
      guard let removed = snapshot.containers.removeValue(forKey: container), let pod = snapshot.pods[removed.podID]
      else { return }
      tell(.deleted, container.text, of: pod, snapshot)
    }
  }

  private func tell(_ kind: PodEvent.Kind, _ subject: String, of pod: PodStatus, _ snapshot: Snapshot) {
    guard events.hasSubscribers else { return }
    let containers = snapshot.containers.values.filter { $0.podID == pod.id }.sorted { $0.createdAt < $1.createdAt }
    events.publish(PodEvent(kind: kind, subject: subject, time: now(), pod: pod, containers: containers))
  }
}

/// The one element of `items` whose id begins with `prefix`: how the CRI's clients abbreviate ids.
/// Throws `invalidArgument` for an empty or ambiguous prefix, `notFound` where nothing matches.
func resolve<Kind, Item>(
  _ prefix: String, in items: [ObjectID<Kind>: Item], what: String
) throws(BulkheadError) -> ObjectID<Kind> {
  if let id = ObjectID<Kind>(prefix), items[id] != nil { return id }
  guard !prefix.isEmpty else { throw BulkheadError(.invalidArgument, "the \(what) id is empty") }
  let matches = Array(items.keys.filter { $0.text.hasPrefix(prefix) }.prefix(2))
  switch matches.count {
  case 0: throw BulkheadError(.notFound, "no \(what) with id \(printable(prefix, limit: 64))")
  case 1: return matches[0]
  default:
    throw BulkheadError(
      .invalidArgument, "\(what) id \(printable(prefix, limit: 64)) fits more than one; give more digits")
  }
}
