import FoundationEssentials
import NIOCore

/// The server's end of a WebSocket that carries Kubernetes' channels.
///
/// Memory is bounded as on a SPDY connection: the reader waits while `InputBudget` is used up.
final class ChannelConnection: Sendable {
  private static let inputLimit = 256 << 10
  /// Longer writes are cut, so that channels take turns.
  private static let longestMessage = 64 << 10

  let channels: ChannelProtocol
  private let wire: any Wire
  private let budget = InputBudget(limit: inputLimit)

  init(wire: any Wire, channels: ChannelProtocol) {
    self.wire = wire
    self.channels = channels
  }

  /// Until the calling task is cancelled, or the client is found to be gone.
  func probeWhileStalled(every interval: Duration) async throws {
    try await budget.probeWhileStalled(every: interval) { try await wire.probe(WebSocketFrames.ping) }
  }

  func makeInput() -> InputPipe { InputPipe(budget: budget) }

  func write(_ data: Data, channel: UInt8) async throws {
    var rest = data[...]
    while !rest.isEmpty {
      let piece = rest.prefix(Self.longestMessage)
      try await wire.write(channels.frame(channel: channel, piece))
      rest = rest.dropFirst(piece.count)
    }
  }

  /// What Kubernetes' servers send to say that they are ready.
  func writeEmpty(channel: UInt8) async throws { try await wire.write(channels.frame(channel: channel, Data())) }

  /// Says that the session is over. The code is 1000 unless something went wrong.
  func close(code: UInt16 = 1000, reason: String = "") async {
    try? await wire.write(WebSocketFrames.close(code: code, reason: reason))
    wire.finish()
  }

  /// Reads until the client closes or is gone. Data goes to `input` of its channel, the client's half-close
  /// ends it; what is for other channels is dropped.
  ///
  /// Throws `WebSocketViolation` once the client has been told of it.
  func read(_ chunks: some AsyncSequence<ByteBuffer, any Error>, input: @Sendable (UInt8) -> InputPipe?) async throws {
    var parser = WebSocketParser()
    var message = MessageReader(channels: channels)
    do {
      for try await bytes in chunks {
        parser.append(bytes)
        while let event = try parser.next() {
          switch event {
          case .data(let bytes, _, let isFirst, let isLast):
            try deliver(try message.read(bytes, isFirst: isFirst, isLast: isLast), input)
            await budget.waitForRoom()
          case .ping(let payload): try await wire.write(WebSocketFrames.pong(payload))
          case .close:
            try? await wire.write(WebSocketFrames.close(code: 1000))
            return
          }
        }
      }
    } catch let violation as WebSocketViolation {
      await close(code: violation.closeCode, reason: "\(violation)")
      throw violation
    }
  }

  private func deliver(_ part: MessageReader.Part?, _ input: (UInt8) -> InputPipe?) throws {
    switch part {
    case .data(let channel, let bytes): input(channel)?.push(bytes)
    case .close(let channel): input(channel)?.end()
    case nil: break
    }
  }
}

/// Takes messages apart into channel and data, as their pieces come in.
struct MessageReader {
  enum Part: Hashable {
    case data(channel: UInt8, ByteBuffer)
    /// The client closes its half of a channel.
    case close(channel: UInt8)
  }

  let channels: ChannelProtocol
  private var channel: UInt8?
  private var base64 = Base64Pieces()

  init(channels: ChannelProtocol) { self.channels = channels }

  mutating func read(_ piece: ByteBuffer, isFirst: Bool, isLast: Bool) throws(WebSocketViolation) -> Part? {
    var piece = piece
    if isFirst {
      channel = nil
      base64 = Base64Pieces()
    }
    // An empty first frame leaves the channel to the next.
    if channel == nil, let byte = piece.readInteger(as: UInt8.self) {
      guard let number = channels.channel(byte) else { throw .badBase64 }
      channel = number
    }
    guard let channel else { return nil }
    if channels.isBase64 {
      let decoded = try base64.decode(piece, isLast: isLast)
      return decoded.readableBytes > 0 ? .data(channel: channel, decoded) : nil
    }
    if channel == ChannelProtocol.closeChannel, channels.canClose {
      return piece.readInteger(as: UInt8.self).map { .close(channel: $0) }
    }
    return piece.readableBytes > 0 ? .data(channel: channel, piece) : nil
  }
}
