import Common
import FoundationEssentials
import NIOCore
import Synchronization

/// Port-forward over the channels of a WebSocket, the oldest form: the ports are those of the request, and
/// each has one connection, with a channel for data and one for its error. The first message on each is the
/// port, 16 bits little-endian.
struct ChannelPortForwardSession: Sendable {
  /// Channels are numbered in one byte, and 255 closes one; in base64 the number is one digit.
  static func maximumPorts(_ channels: ChannelProtocol) -> Int { channels.isBase64 ? 5 : 127 }

  let request: PortForwardSessionRequest
  let channels: ChannelProtocol
  let backend: any StreamingBackend
  let limits: SessionLimits

  func serve(_ chunks: some AsyncSequence<ByteBuffer, any Error> & Sendable, _ wire: any Wire) async throws {
    let connection = ChannelConnection(wire: wire, channels: channels)
    let connections = request.ports.prefix(Self.maximumPorts(channels)).enumerated().map { index, port in
      ForwardedChannel(
        port: port, pipe: connection.makeInput(), number: UInt8(index * 2), connection: connection)
    }
    try await whileConnected(limits) {
      defer { for one in connections { one.pipe.fail(ClientGone()) } }
      try await connection.read(chunks) { channel in
        channel % 2 == 0 && channel / 2 < connections.count ? connections[Int(channel / 2)].pipe : nil
      }
    } work: {
      try await withThrowingDiscardingTaskGroup { group in
        for one in connections { group.addTask { try await serve(one) } }
      }
    } probe: {
      try await connection.probeWhileStalled(every: $0)
    } finish: {
      await connection.close()
    }
  }

  private func serve(_ channel: ForwardedChannel) async throws {
    defer { channel.pipe.abandon() }
    try await channel.announce()
    do {
      try await backend.portForward(pod: request.pod, port: channel.port, channel)
    } catch {
      try Task.checkCancellation()
      try await channel.tell(SPDYPortForwardSession.failure(error, channel.port, request.pod))
    }
  }
}

/// One forwarded connection, over a WebSocket's channels.
private final class ForwardedChannel: ByteChannel {
  let port: UInt16
  let pipe: InputPipe
  private let number: UInt8
  private let connection: ChannelConnection

  init(port: UInt16, pipe: InputPipe, number: UInt8, connection: ChannelConnection) {
    self.port = port
    self.pipe = pipe
    self.number = number
    self.connection = connection
  }

  var input: ClientInput { ClientInput(pipe: pipe) }
  func write(_ bytes: Data) async throws { try await connection.write(bytes, channel: number) }
  /// This protocol can't say that one direction has ended.
  func closeOutput() async throws {}

  func announce() async throws {
    let bytes = Data([UInt8(truncatingIfNeeded: port), UInt8(truncatingIfNeeded: port >> 8)])
    try await connection.write(bytes, channel: number)
    try await connection.write(bytes, channel: number + 1)
  }

  func tell(_ text: String) async throws { try await connection.write(Data(text.utf8), channel: number + 1) }
}
