import AgentProtocol
import Common
import FoundationEssentials
import Hypervisor
import LinuxSystem

/// What one guest says of its usage, by a stream that stays open from the first question on: as calls, questions to
/// many guests would cost each of them more than finding the answer does.
actor StatsStream {
  /// Bytes of an answer; a pod's has about 2 KiB for each container.
  private static let longestAnswer = 2 << 20

  private let open: @Sendable (Duration) async throws -> GuestStream
  private var stream: GuestStream?

  /// `open` gives a stream for `.stats` within the time that it is given.
  init(open: @escaping @Sendable (Duration) async throws -> GuestStream) { self.open = open }

  /// `withDetails`: of the containers' processes, too. `limit` is for all of it, a stream's opening too. Callers at the
  /// same time get streams of their own. After a failure, a cancelled task's too, the next question opens a stream of
  /// its own, so that it never gets the answer to this one.
  func ask(withDetails: Bool = false, within limit: Duration) async throws -> Bulkhead_Agent_V1_StatsResponse {
    let end = ContinuousClock.now + limit
    let stream: GuestStream
    if let known = self.stream { stream = known } else { stream = try await open(limit) }
    self.stream = nil
    do {
      let answer = try await withDeadline(max(end - .now, .zero), "reading the stats") {
        try await stream.write([withDetails ? 2 : 1])
        return try await Self.answer(stream)
      }
      self.stream = stream
      return answer
    } catch {
      stream.close()
      throw error
    }
  }

  private static func answer(_ stream: GuestStream) async throws -> Bulkhead_Agent_V1_StatsResponse {
    var bytes = Data()
    var end = 4
    while bytes.count < end {
      guard let more = try await stream.read() else {
        throw BulkheadError(.unavailable, "the guest ended the stream of its stats")
      }
      let hadLength = bytes.count >= 4
      bytes += more
      if !hadLength, bytes.count >= 4 { end += bytes.prefix(4).reduce(0) { $0 << 8 | Int($1) } }
      guard end <= longestAnswer, bytes.count <= end || bytes.count < 4 else {
        throw BulkheadError(
          .internalError, "the guest sent \(max(end, bytes.count)) bytes for an answer about its stats")
      }
    }
    return try Bulkhead_Agent_V1_StatsResponse(serializedBytes: bytes.dropFirst(4))
  }
}
