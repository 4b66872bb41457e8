import GRPCCore
import GRPCNGHTTP2
import Testing

/// Our client and our server over a unix socket.
@Suite(.timeLimit(.minutes(1)))
struct RoundTripTests {
  @Test func unaryWithMetadataBothWays() async throws {
    try await withEcho { client, _ in
      let metadata: Metadata = ["x-text": "hello", "x-more-bin": .binary([0, 255, 1]), "X-Upper": "case"]
      let response = try await client.call([1, 2, 3], metadata: metadata)
      #expect(try response.message == [1, 2, 3])
      for received in [response.metadata, response.trailingMetadata] {
        #expect(Array(received[stringValues: "x-text"]) == ["hello"])
        #expect(Array(received[binaryValues: "x-more-bin"]) == [[0, 255, 1]])
        #expect(Array(received[stringValues: "x-upper"]) == ["case"])
      }
    }
  }

  @Test func emptyMessage() async throws {
    try await withEcho { client, _ in
      let message = try await client.call([]).message
      #expect(message.isEmpty)
    }
  }

  @Test func clientStreaming() async throws {
    try await withEcho { client, _ in
      let request = StreamingClientRequest<[UInt8]> { writer in
        for byte in UInt8(0)..<100 { try await writer.write([byte]) }
      }
      let all = try await client.clientStreaming(
        request: request, descriptor: EchoService.collect, serializer: BytesCoder(), deserializer: BytesCoder(),
        options: .defaults
      ) { try $0.message }
      #expect(all == Array(0..<100))
    }
  }

  @Test func serverStreaming() async throws {
    try await withEcho { client, _ in
      let sizes = try await client.serverStreaming(
        request: ClientRequest(message: Array("1000 3000".utf8)), descriptor: EchoService.expand,
        serializer: BytesCoder(), deserializer: BytesCoder(), options: .defaults
      ) { try await $0.messages.reduce(into: []) { $0.append($1.count) } }
      #expect(sizes == Array(repeating: 3000, count: 1000))
    }
  }

  @Test func bidirectionalStreamingInTurns() async throws {
    try await withEcho { client, _ in
      let (turns, next) = AsyncStream.makeStream(of: UInt8.self)
      let request = StreamingClientRequest<[UInt8]> { writer in
        for await turn in turns { try await writer.write([turn]) }
      }
      next.yield(0)
      let count = try await client.bidirectionalStreaming(
        request: request, descriptor: EchoService.chat, serializer: BytesCoder(), deserializer: BytesCoder(),
        options: .defaults
      ) { response in
        var count = 0
        for try await message in response.messages {
          #expect(message == [UInt8(count)])
          count += 1
          if count < 50 { next.yield(UInt8(count)) } else { next.finish() }
        }
        return count
      }
      #expect(count == 50)
    }
  }

  @Test func statusMessageAndMetadataOfAFailure() async throws {
    try await withEcho { client, _ in
      let text = "größer als 100%\n\u{1F600}"
      let error = await rpcError { _ = try await client.call(Array(text.utf8), EchoService.fail) }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message == text)
      #expect(error.map { Array($0.metadata[stringValues: "x-why"]) } == ["because"])
    }
  }

  @Test func unknownMethodIsUnimplemented() async throws {
    try await withEcho { client, _ in
      let method = MethodDescriptor(fullyQualifiedService: "no.Such", method: "Method")
      let error = await rpcError { _ = try await client.call([], method) }
      #expect(error?.code == .unimplemented)
    }
  }

  @Test func manyAtOnce() async throws {
    try await withEcho { client, _ in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<600 {
          group.addTask {
            let message = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: index * 37)
            let echo = try await client.call(message).message
            #expect(echo == message)
          }
        }
        try await group.waitForAll()
      }
    }
  }
}
