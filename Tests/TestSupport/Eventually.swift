/// A condition that a test waited for in vain.
public struct NeverHappened: Error, CustomStringConvertible {
  public let what: String

  public init(_ what: String) { self.what = what }

  public var description: String { "never happened: \(what)" }
}

/// Waits until `condition` holds, looking every 10 ms. Throws `NeverHappened` after `limit`, which is far more
/// than a busy machine needs.
public func eventually(
  _ what: String, within limit: Duration = .seconds(60), _ condition: () async throws -> Bool
) async throws {
  let end = ContinuousClock.now + limit
  while try await !condition() {
    guard ContinuousClock.now < end else { throw NeverHappened(what) }
    try await Task.sleep(for: .milliseconds(10))
  }
}
