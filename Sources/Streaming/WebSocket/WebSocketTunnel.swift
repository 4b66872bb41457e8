import NIOCore

/// A byte stream in the binary messages of a WebSocket, one after the other whatever their bounds: how
/// Kubernetes carries SPDY through proxies that know WebSockets only. Ends with the client's close frame.
struct WebSocketTunnel<Chunks: AsyncSequence<ByteBuffer, any Error> & Sendable>: AsyncSequence, Sendable {
  typealias Element = ByteBuffer

  let chunks: Chunks
  let wire: any Wire

  func makeAsyncIterator() -> Iterator { Iterator(chunks: chunks.makeAsyncIterator(), wire: wire) }

  struct Iterator: AsyncIteratorProtocol {
    var chunks: Chunks.AsyncIterator
    let wire: any Wire
    var parser = WebSocketParser()

    mutating func next() async throws -> ByteBuffer? {
      do {
        while true {
          switch try parser.next() {
          case .data(let bytes, _, _, _): if bytes.readableBytes > 0 { return bytes }
          case .ping(let payload): try await wire.write(WebSocketFrames.pong(payload))
          case .close:
            try? await wire.write(WebSocketFrames.close(code: 1000))
            return nil
          case nil:
            guard let bytes = try await chunks.next() else { return nil }
            parser.append(bytes)
          }
        }
      } catch let violation as WebSocketViolation {
        try? await wire.write(WebSocketFrames.close(code: violation.closeCode, reason: "\(violation)"))
        throw violation
      }
    }
  }
}

/// The other direction of a tunnel: each write is one binary message.
struct WebSocketTunnelWire: Wire {
  let wire: any Wire

  func write(_ bytes: ByteBuffer) async throws { try await wire.write(wrapped(bytes)) }
  func probe(_ bytes: ByteBuffer) async throws { try await wire.probe(wrapped(bytes)) }

  private func wrapped(_ bytes: ByteBuffer) -> ByteBuffer {
    var frame = WebSocketFrames.header(.binary, length: bytes.readableBytes)
    frame.writeImmutableBuffer(bytes)
    return frame
  }

  func finish() { wire.finish() }
}
