import GRPCCore
import GRPCNGHTTP2
import Testing

/// Against C-core, in both roles.
@Suite(.timeLimit(.minutes(2)))
struct GRPCIOTests {
  @Test func theirClientOnOurServer() async throws {
    try await withEchoServer { path, log, _ in
      var client = try Python("echo_client.py", path)
      #expect(await client.finish() == 0)
      #expect(log.sawCancellation)
    }
  }

  @Test func ourClientOnTheirServer() async throws {
    try await withTheirServer { client, _ in
      let metadata: Metadata = ["x-text": "hello", "x-more-bin": .binary([0, 255, 1])]
      let response = try await client.call([1, 2, 3], metadata: metadata)
      #expect(try response.message == [1, 2, 3])
      for received in [response.metadata, response.trailingMetadata] {
        #expect(Array(received[stringValues: "x-text"]) == ["hello"])
        #expect(Array(received[binaryValues: "x-more-bin"]) == [[0, 255, 1]])
      }
      let whole = [UInt8](repeating: 9, count: 16 << 20)
      let echo = try await client.call(whole).message
      #expect(echo == whole)

      let chat = try await client.bidirectionalStreaming(
        request: StreamingClientRequest { writer in
          for index in 0..<500 { try await writer.write(Array("\(index)".utf8)) }
        }, descriptor: EchoService.chat, serializer: BytesCoder(), deserializer: BytesCoder(), options: .defaults
      ) { try await $0.messages.reduce(into: []) { $0.append(String(decoding: $1, as: UTF8.self)) } }
      #expect(chat == (0..<500).map(String.init))

      let bytes = try await client.serverStreaming(
        request: ClientRequest(message: Array("1000 30000".utf8)), descriptor: EchoService.expand,
        serializer: BytesCoder(), deserializer: BytesCoder(), options: .defaults
      ) { try await $0.messages.reduce(into: 0) { $0 += $1.count } }
      #expect(bytes == 30_000_000)
    }
  }

  @Test func ourClientsFailuresOnTheirServer() async throws {
    try await withTheirServer { client, server in
      let text = "größer als 100%\n\u{1F600}"
      let failed = await rpcError { _ = try await client.call(Array(text.utf8), EchoService.fail) }
      #expect(failed?.code == .failedPrecondition)
      #expect(failed?.message == text)
      #expect(failed.map { Array($0.metadata[stringValues: "x-why"]) } == ["because"])

      let unknown = MethodDescriptor(fullyQualifiedService: "no.Such", method: "Method")
      #expect(await rpcError { _ = try await client.call([], unknown) }?.code == .unimplemented)

      var options = CallOptions.defaults
      options.timeout = .seconds(2)
      let late = await rpcError { _ = try await client.call([], EchoService.wait, options: options) }
      #expect(late?.code == .deadlineExceeded)
      #expect(await server.nextLine() == "waiting")
      #expect(await server.nextLine() == "cancelled")

      let task = Task { try await client.call([], EchoService.wait) }
      #expect(await server.nextLine() == "waiting")
      task.cancel()
      #expect(await rpcError { _ = try await task.value }?.code == .cancelled)
      #expect(await server.nextLine() == "cancelled")
    }
  }

  private func withTheirServer(_ body: (Client, inout Python) async throws -> Void) async throws {
    try await withTemporaryDirectory { directory in
      var server = try Python("echo_server.py", "\(directory)/s")
      #expect(await server.nextLine() == "ready")
      try await withGRPCClient(transport: .unix(path: "\(directory)/s")) { try await body($0, &server) }
      #expect(await server.finish() == 0)
    }
  }
}
