import Glibc
import LinuxSystem
import Synchronization

/// Streams that the daemon has opened for the output of processes that it will start next. Each has a name, which
/// nobody else can guess.
final class OutputStreams: Sendable {
  static let nameSize = 16
  /// How long a stream waits for its process.
  private static let patience = Duration.seconds(10)

  private struct Offer {
    var stream: AsyncDescriptor
    var taken: Signal
  }

  private let offers = Mutex<[[UInt8]: Offer]>([:])

  /// Returns when the stream has been taken; one that nobody takes is closed. `told` runs once it can be.
  func offer(_ stream: AsyncDescriptor, as name: [UInt8], told: () async throws -> Void) async {
    let taken = Signal()
    let isFirst = offers.withLock { offers in
      guard offers[name] == nil else { return false }
      offers[name] = Offer(stream: stream, taken: taken)
      return true
    }
    guard isFirst else { return stream.close() }
    do {
      try await told()
      guard try await within(Self.patience, { try await taken.wait() }) != nil else {
        throw SystemError("wait", ETIMEDOUT)
      }
    } catch {
      // Whoever has taken it meanwhile owns it.
      if take(name) != nil { stream.close() }
    }
  }

  /// The caller closes it. Nil: there is none of that name.
  func take(_ name: [UInt8]) -> AsyncDescriptor? {
    guard let offer = offers.withLock({ $0.removeValue(forKey: name) }) else { return nil }
    offer.taken.fire()
    return offer.stream
  }
}
