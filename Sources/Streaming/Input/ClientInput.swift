import FoundationEssentials
import NIOCore

/// What a client sends on one stream, in pieces and in order, until it closes its half. Nothing more is
/// read from its connection than fits a fixed buffer: a reader that waits holds the client up.
///
/// Iterating throws where the client resets the stream or its connection ends before the stream does, and
/// `CancellationError` where the calling task is cancelled. For one reader.
public struct ClientInput: AsyncSequence, Sendable {
  let pipe: InputPipe

  public func makeAsyncIterator() -> Iterator { Iterator(pipe: pipe) }

  public struct Iterator: AsyncIteratorProtocol {
    let pipe: InputPipe

    public mutating func next() async throws -> Data? {
      guard let buffer = try await pipe.next() else { return nil }
      return Data(buffer.readableBytesView)
    }
  }
}
