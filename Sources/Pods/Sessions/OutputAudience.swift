import ContainerLog
import FoundationEssentials
import Synchronization

/// The clients attached to one container. Its output goes to the log first and then to each of them, from the
/// moment they joined.
///
/// A client that is slow slows the container down, as a full pipe would; one that reads nothing at all is
/// detached after `OutputListener.patience`. So a client loses nothing without being told, and none can hold
/// up the container's log for ever.
final class OutputAudience: Sendable {
  private struct State {
    var listeners: [ObjectIdentifier: OutputListener] = [:]
    /// The next offset of each stream: output that is read again after a lost connection is not told twice.
    var next: [LogStream: UInt64] = [:]
    var isUrgent = false
    var isOver = false
  }

  private let state = Mutex(State())

  func join(_ streams: ProcessStreamSet) -> OutputListener {
    let listener = OutputListener(streams)
    let (isUrgent, isOver) = state.withLock { state in
      if !state.isOver { state.listeners[ObjectIdentifier(listener)] = listener }
      return (state.isUrgent, state.isOver)
    }
    if isUrgent { listener.hurry() }
    if isOver { listener.end() }
    return listener
  }

  func leave(_ listener: OutputListener) {
    _ = state.withLock { $0.listeners.removeValue(forKey: ObjectIdentifier(listener)) }
    listener.end()
  }

  /// Returns when the clients have room for more.
  func deliver(_ stream: LogStream, offset: UInt64, _ bytes: Data) async {
    let (listeners, fresh) = state.withLock { state in
      let end = offset &+ UInt64(bytes.count)
      let known = min(max(state.next[stream] ?? offset, offset), end)
      state.next[stream] = end
      return (Array(state.listeners.values), bytes.dropFirst(Int(known - offset)))
    }
    guard !fresh.isEmpty else { return }
    for listener in listeners where listener.streams.includes(stream) {
      await listener.offer(.init(stream: stream, bytes: fresh))
    }
  }

  /// The container has ended: its last output waits for no client any more.
  func hurry() {
    let listeners = state.withLock { state in
      state.isUrgent = true
      return Array(state.listeners.values)
    }
    for listener in listeners { listener.hurry() }
  }

  /// All output has been told.
  func end() {
    let listeners = state.withLock { state in
      state.isOver = true
      defer { state.listeners = [:] }
      return Array(state.listeners.values)
    }
    for listener in listeners { listener.end() }
  }
}
