import FoundationEssentials

enum OutputStream: Sendable {
  case stdout, stderr
}

/// A process's streams over whichever protocol its client speaks.
struct RemoteStreams: ProcessStreams {
  let stdin: ClientInput?
  let resizes: AsyncStream<TerminalSize>
  let send: @Sendable (Data, OutputStream) async throws -> Void

  func write(stdout bytes: Data) async throws { try await send(bytes, .stdout) }
  func write(stderr bytes: Data) async throws { try await send(bytes, .stderr) }
}

extension RemoteCommand {
  /// Runs the command with these inputs, turning the client's resize messages into terminal sizes.
  func run(
    _ backend: any StreamingBackend, stdin: InputPipe?, resize: InputPipe?,
    send: @escaping @Sendable (Data, OutputStream) async throws -> Void
  ) async throws -> CommandStatus {
    let (resizes, sizes) = AsyncStream.makeStream(of: TerminalSize.self, bufferingPolicy: .bufferingNewest(1))
    let streams = RemoteStreams(stdin: stdin.map(ClientInput.init), resizes: resizes, send: send)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        defer { sizes.finish() }
        guard let resize else { return }
        var decoder = ResizeDecoder()
        // Where the client ends or breaks the stream, the sizes end; the command goes on.
        while let bytes = try? await resize.next() {
          guard let found = decoder.decode(bytes.readableBytesView) else { return resize.abandon() }
          for size in found { sizes.yield(size) }
        }
      }
      return try await run(backend, streams)
    }
  }
}

/// Finds the JSON objects {"Width": columns, "Height": rows} that a client sends one after the other.
struct ResizeDecoder {
  private static let maximumObject = 1024

  private struct Message: Decodable {
    var Width: UInt16
    var Height: UInt16
  }

  private var object: [UInt8] = []

  /// The sizes that are complete; nil, for good, where it is not what a client sends.
  mutating func decode(_ bytes: some Sequence<UInt8>) -> [TerminalSize]? {
    var found: [TerminalSize] = []
    for byte in bytes {
      object.append(byte)
      guard byte == UInt8(ascii: "}") else {
        if object.count > Self.maximumObject { return nil }
        continue
      }
      guard let message = try? JSONDecoder().decode(Message.self, from: Data(object)) else { return nil }
      found.append(TerminalSize(columns: message.Width, rows: message.Height))
      object = []
    }
    return found
  }
}
