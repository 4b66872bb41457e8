import Common
import Synchronization

/// What readers see: all pods and containers at one moment. Mutations publish a changed copy; List,
/// Status and Stats read it and never wait behind a mutation, a stop or a slow guest.
final class SnapshotStore: Sendable {
  struct Snapshot: Sendable {
    var pods: [PodID: PodStatus] = [:]
    var containers: [ContainerID: ContainerStatus] = [:]
  }

  private let storage = Mutex(Snapshot())

  var current: Snapshot { storage.withLock { $0 } }

  func publish(_ pod: PodStatus) { storage.withLock { $0.pods[pod.id] = pod } }
  func publish(_ container: ContainerStatus) { storage.withLock { $0.containers[container.id] = container } }
  func remove(_ pod: PodID) { storage.withLock { _ = $0.pods.removeValue(forKey: pod) } }
  func remove(_ container: ContainerID) { storage.withLock { _ = $0.containers.removeValue(forKey: container) } }
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
