/// How long the parts of a session may take.
struct SessionLimits: Sendable {
  /// For a client to open the streams it is to open.
  var streamCreation: Duration
  /// For a client to end its side once the server is done.
  var lingering: Duration
  /// Between probes of a client whose input nobody takes.
  var probeInterval: Duration
}

private enum SessionPart: Sendable {
  case read, work, probed, lingered
}

/// Does a session's work for as long as its client is there. When the work is done, `finish` says so to the
/// client, and what the client still sends is read, and dropped, for a while: closing a socket with unread
/// data would take back, with a TCP reset, what was just written.
///
/// Throws `ClientGone` where the client ends first; the work is cancelled then.
func whileConnected(
  _ limits: SessionLimits, read: @escaping @Sendable () async throws -> Void,
  work: @escaping @Sendable () async throws -> Void,
  probe: @escaping @Sendable (_ interval: Duration) async throws -> Void, finish: @Sendable () async -> Void
) async throws {
  try await withThrowingTaskGroup(of: SessionPart.self) { group in
    defer { group.cancelAll() }
    group.addTask {
      try await read()
      return .read
    }
    group.addTask {
      try await work()
      return .work
    }
    group.addTask {
      try await probe(limits.probeInterval)
      return .probed
    }
    guard try await group.next() == .work else { throw ClientGone() }
    await finish()
    group.addTask {
      try await Task.sleep(for: limits.lingering)
      return .lingered
    }
    _ = try? await group.next()
  }
}

/// Whether `body` returned before the time was up, which cancels it.
func within(_ time: Duration, _ body: @escaping @Sendable () async -> Void) async -> Bool {
  await withTaskGroup(of: Bool.self) { group in
    defer { group.cancelAll() }
    group.addTask {
      await body()
      return true
    }
    group.addTask {
      try? await Task.sleep(for: time)
      return false
    }
    return await group.next() ?? false
  }
}
