import FoundationEssentials
import NIOCore

/// Exec or attach over the channels of a WebSocket.
struct ChannelCommandSession: Sendable {
  private enum Channel {
    static let stdin: UInt8 = 0
    static let stdout: UInt8 = 1
    static let stderr: UInt8 = 2
    static let error: UInt8 = 3
    static let resize: UInt8 = 4
  }

  let command: RemoteCommand
  let channels: ChannelProtocol
  let backend: any StreamingBackend
  let limits: SessionLimits

  func serve(_ chunks: some AsyncSequence<ByteBuffer, any Error> & Sendable, _ wire: any Wire) async throws {
    let connection = ChannelConnection(wire: wire, channels: channels)
    let stdin = command.streams.stdin ? connection.makeInput() : nil
    let resize = command.streams.terminal ? connection.makeInput() : nil
    try await whileConnected(limits) {
      defer {
        stdin?.fail(ClientGone())
        resize?.fail(ClientGone())
      }
      try await connection.read(chunks) { channel in
        switch channel {
        case Channel.stdin: stdin
        case Channel.resize: resize
        default: nil
        }
      }
    } work: {
      try await run(connection, stdin, resize)
    } probe: {
      try await connection.probeWhileStalled(every: $0)
    } finish: {
      await connection.close()
    }
  }

  private func run(_ connection: ChannelConnection, _ stdin: InputPipe?, _ resize: InputPipe?) async throws {
    let streams = command.streams
    try await connection.writeEmpty(
      channel: streams.stdout ? Channel.stdout : streams.stderr ? Channel.stderr : Channel.error)
    let status = try await command.run(backend, stdin: stdin, resize: resize) { bytes, stream in
      switch stream {
      case .stdout: if streams.stdout { try await connection.write(bytes, channel: Channel.stdout) }
      case .stderr: if streams.stderr { try await connection.write(bytes, channel: Channel.stderr) }
      }
    }
    stdin?.abandon()
    resize?.abandon()
    try await connection.write(status.encoded(asStatus: channels.hasStatus), channel: Channel.error)
  }
}
