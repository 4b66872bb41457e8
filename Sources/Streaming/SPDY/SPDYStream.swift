import Common
import FoundationEssentials
import NIOCore
import Synchronization

/// One stream that a client has opened.
final class SPDYStream: Sendable {
  let id: UInt32
  let headers: HeaderBlock
  let input: InputPipe
  /// Opens when the client resets the stream, or is gone.
  let wasEnded = Latch()

  private let connection: SPDYConnection
  private let outputEnded = Mutex(false)

  init(id: UInt32, headers: HeaderBlock, input: InputPipe, connection: SPDYConnection) {
    self.id = id
    self.headers = headers
    self.input = input
    self.connection = connection
  }

  /// Longer writes are cut, so that the streams of a session take turns.
  private static let longestFrame = 64 << 10

  /// Throws where the client has reset the stream or is gone.
  func write(_ bytes: Data) async throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      guard !outputEnded.withLock({ $0 }) else { throw StreamReset() }
      let piece = rest.prefix(Self.longestFrame)
      try await connection.send(SPDYFrames.data(stream: id, piece, isLast: false))
      rest = rest.dropFirst(piece.count)
    }
  }

  /// Closes the server's half. Later calls do nothing.
  func finish() async throws {
    guard endOutput() else { return }
    try await connection.send(SPDYFrames.data(stream: id, Data(), isLast: true))
  }

  /// Ends both halves at once.
  func reset(_ status: SPDYFrames.ResetStatus) async throws {
    input.abandon()
    guard endOutput() else { return }
    try await connection.send(SPDYFrames.reset(stream: id, status))
  }

  /// The client has ended both halves, for this reason.
  func end(_ reason: any Error) {
    _ = endOutput()
    input.fail(reason)
    wasEnded.open()
  }

  private func endOutput() -> Bool {
    outputEnded.withLock { ended in
      defer { ended = true }
      return !ended
    }
  }
}

/// The client reset one of its streams.
struct StreamReset: Error, CustomStringConvertible {
  var description: String { "the client has reset the stream" }
}

/// The client's connection has ended before its session has.
struct ClientGone: Error, CustomStringConvertible {
  var description: String { "the client is gone" }
}
