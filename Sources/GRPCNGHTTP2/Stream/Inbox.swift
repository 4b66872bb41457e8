import GRPCCore

/// Parts that were received and not yet read, with the reader that waits for one, and the account of
/// flow control: which received bytes the peer has not got back as window.
///
/// While nothing waits to be read, bytes go back at once, so that a message larger than the window can
/// arrive. As soon as the reader falls behind they go back as it reads: a slow reader holds at most one
/// window and one message.
struct Inbox<Part: Sendable>: Sendable {
  typealias Continuation = CheckedContinuation<Part?, any Error>

  private enum End {
    case open
    case finished
    case failed(RPCError)
  }

  private var parts: [(part: Part, cost: Int)] = []
  private var first = 0
  private var end = End.open
  private var reader: Continuation?
  private var uncredited = 0
  /// Window to give back to the peer.
  private(set) var credit = 0

  var isEmpty: Bool { first == parts.count }
  var isOpen: Bool { if case .open = end { true } else { false } }

  /// A reader to be resumed, outside of any lock, with what it waited for.
  struct Wakeup: Sendable {
    let reader: Continuation
    let result: Result<Part?, any Error>

    func callAsFunction() { reader.resume(with: result) }
  }

  mutating func received(bytes: Int) { uncredited += bytes }

  /// Call after the parts that came with `received(bytes:)` were pushed.
  mutating func settle() {
    guard isEmpty else { return }
    credit += uncredited
    uncredited = 0
  }

  mutating func takeCredit() -> Int {
    defer { credit = 0 }
    return credit
  }

  mutating func push(_ part: Part, cost: Int) -> Wakeup? {
    guard isOpen else { return nil }
    if let reader {
      self.reader = nil
      return Wakeup(reader: reader, result: .success(part))
    }
    parts.append((part, cost))
    return nil
  }

  mutating func finish() -> Wakeup? {
    guard isOpen else { return nil }
    end = .finished
    return takeReader(.success(nil))
  }

  /// What was received before the failure can still be read.
  mutating func fail(_ error: RPCError) -> Wakeup? {
    guard isOpen else { return nil }
    end = .failed(error)
    return takeReader(.failure(error))
  }

  /// The next part, if that is known without waiting.
  mutating func pop() -> Result<Part?, any Error>? {
    guard !isEmpty else {
      switch end {
      case .open: return nil
      case .finished: return .success(nil)
      case .failed(let error): return .failure(error)
      }
    }
    let (part, cost) = parts[first]
    first += 1
    uncredited -= cost
    credit += cost
    if isEmpty {
      parts.removeAll(keepingCapacity: parts.count < 64)
      first = 0
      settle()
    } else if first >= 64, first * 2 >= parts.count {
      parts.removeFirst(first)
      first = 0
    }
    return .success(part)
  }

  /// False if another reader waits already.
  mutating func wait(_ continuation: Continuation) -> Bool {
    guard reader == nil else { return false }
    reader = continuation
    return true
  }

  mutating func takeReader(_ result: Result<Part?, any Error>) -> Wakeup? {
    defer { reader = nil }
    return reader.map { Wakeup(reader: $0, result: result) }
  }
}
