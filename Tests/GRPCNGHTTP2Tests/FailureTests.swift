import Foundation
import GRPCCore
import GRPCNGHTTP2
import Testing
import TestSupport

/// What happens when things go wrong between our client and our server.
@Suite(.timeLimit(.minutes(1)))
struct FailureTests {
  // MARK: - Deadlines and cancellation

  @Test func deadlineEndsTheCallAndTheHandler() async throws {
    try await withEcho { client, log in
      var options = CallOptions.defaults
      options.timeout = .seconds(1)
      let error = await rpcError { _ = try await client.call([], EchoService.wait, options: options) }
      #expect(error?.code == .deadlineExceeded)
      // On a machine so busy that the second is over before the request is out, there is no handler.
      try await eventually("the handler's cancellation") { log.sawCancellation || !log.contains("waiting") }
    }
  }

  /// The client that does not look at its own clock stands for one whose clock is slow.
  @Test func serverEnforcesTheDeadlineToo() async throws {
    try await withEcho { client, log in
      let error = await rpcError {
        _ = try await client.call([], EchoService.wait, metadata: ["grpc-timeout": "100m"])
      }
      #expect(error?.code == .deadlineExceeded)
      try await eventually("the handler's cancellation") { log.sawCancellation }
    }
  }

  @Test func handlerKnowsItsDeadline() async throws {
    try await withEcho { client, _ in
      var options = CallOptions.defaults
      let without = try await client.call([], EchoService.timeLeft).message
      #expect(without == Array("-1".utf8))
      options.timeout = .seconds(1000)
      let with = try await client.call([], EchoService.timeLeft, options: options).message
      #expect(Int(String(decoding: with, as: UTF8.self)).map { 900...1000 ~= $0 } == true)
    }
  }

  @Test func cancellingTheTaskCancelsTheHandler() async throws {
    try await withEcho { client, log in
      let task = Task { try await client.call([], EchoService.wait) }
      try await eventually("the handler's start") { log.contains("waiting") }
      task.cancel()
      #expect(await rpcError { _ = try await task.value }?.code == .cancelled)
      try await eventually("the handler's cancellation") { log.sawCancellation }
      try await client.expectEcho([1])
    }
  }

  /// Deadlines and cancellations that fall into every moment of a call's life lose no handler.
  @Test func callsThatEndAtAnyMoment() async throws {
    try await withEcho { client, log in
      try await client.expectEcho([1])
      await withTaskGroup(of: Void.self) { group in
        for index in 0..<300 {
          var options = CallOptions.defaults
          if index % 3 > 0 { options.timeout = .microseconds(index * 300) }
          let call = Task { [options] in
            await rpcError { _ = try await client.call([1], EchoService.wait, options: options) }
          }
          group.addTask {
            if index % 3 < 2 {
              try? await Task.sleep(for: .microseconds(index * 200))
              call.cancel()
            }
            let code = await call.value?.code
            #expect(code == .deadlineExceeded || code == .cancelled)
          }
        }
      }
      try await eventually("the end of every handler") {
        log.count("waiting") == log.count("task cancelled") && log.count("waiting") == log.count("RPC cancelled")
      }
      #expect(log.count("waiting") > 20)
      try await client.expectEcho([1])
    }
  }

  // MARK: - Limits

  @Test func sixteenMebibytesPassAndNoMore() async throws {
    try await withEcho { client, _ in
      let whole = [UInt8](repeating: 1, count: 16 << 20)
      let echo = try await client.call(whole).message
      #expect(echo == whole)
      let request = await rpcError { _ = try await client.call(whole + [1]) }
      #expect(request?.code == .resourceExhausted)
      #expect(request?.message.contains("16777217") == true)
      let response = await rpcError { _ = try await client.call(Array("1 16777217".utf8), EchoService.expand) }
      #expect(response?.code == .resourceExhausted)
    }
  }

  @Test func serverRefusesTooLargeARequest() async throws {
    var server = NGHTTP2ServerTransport.Configuration()
    server.maxRequestMessageSize = 1000
    try await withEcho(server: server) { client, _ in
      let error = await rpcError { _ = try await client.call([UInt8](repeating: 1, count: 4 << 20)) }
      #expect(error?.code == .resourceExhausted)
      #expect(error?.message == "received message of 4194304 bytes is larger than the 1000 allowed")
      try await client.expectEcho([1])
    }
  }

  @Test func clientRefusesTooLargeAResponse() async throws {
    try await withEcho { client, _ in
      var options = CallOptions.defaults
      options.maxResponseMessageBytes = 1000
      let error = await rpcError { _ = try await client.call([UInt8](repeating: 1, count: 1001), options: options) }
      #expect(error?.code == .resourceExhausted)
    }
  }

  @Test func tooLargeMetadataIsRefused() async throws {
    try await withEcho { client, _ in
      let metadata: Metadata = ["x-large": .string(String(repeating: "a", count: 20_000))]
      let error = await rpcError { _ = try await client.call([1], metadata: metadata) }
      #expect(error?.code == .resourceExhausted)
      let huge: Metadata = ["x-huge": .string(String(repeating: "a", count: 100_000))]
      #expect(await rpcError { _ = try await client.call([1], metadata: huge) }?.code == .internalError)
      try await client.expectEcho([1])
    }
  }

  @Test func metadataThatHTTP2CannotCarryFailsOnlyItsOwnCall() async throws {
    try await withEcho { client, _ in
      let error = await rpcError { _ = try await client.call([1], metadata: ["x-text": "two\nlines"]) }
      #expect(error?.code == .internalError)
      try await client.expectEcho([1])
    }
  }

  // MARK: - Backpressure

  @Test func slowReaderStopsTheServer() async throws {
    try await withEcho { client, log in
      let total = try await client.serverStreaming(
        request: ClientRequest(message: Array("500 65536".utf8)), descriptor: EchoService.expand,
        serializer: BytesCoder(), deserializer: BytesCoder(), options: .defaults
      ) { response in
        var total = 0
        for try await message in response.messages {
          if total == 0 {
            try await Task.sleep(for: .milliseconds(300))
            // A window, a send buffer and the socket's own buffers hold about 2 MB.
            #expect(!log.contains("expanded 64"))
          }
          total += message.count
        }
        return total
      }
      #expect(total == 500 * 65536)
    }
  }

  @Test func slowHandlerStopsTheClient() async throws {
    try await withEcho { client, _ in
      let started = ContinuousClock.now
      let request = StreamingClientRequest<[UInt8]> { writer in
        for _ in 0..<64 { try await writer.write([UInt8](repeating: 1, count: 65536)) }
        // The handler begins to read after 300 ms: without backpressure it would all be gone before.
        #expect(started.duration(to: .now) > .milliseconds(250))
      }
      let count = try await client.clientStreaming(
        request: request, descriptor: EchoService.stall, serializer: BytesCoder(), deserializer: BytesCoder(),
        options: .defaults
      ) { try String(decoding: $0.message, as: UTF8.self) }
      #expect(count == "4194304")
    }
  }

  @Test func oneSlowStreamDoesNotStopTheOthers() async throws {
    try await withEcho { client, _ in
      try await client.serverStreaming(
        request: ClientRequest(message: Array("200 65536".utf8)), descriptor: EchoService.expand,
        serializer: BytesCoder(), deserializer: BytesCoder(), options: .defaults
      ) { response in
        for try await _ in response.messages.prefix(1) {
          let large = [UInt8](repeating: 3, count: 8 << 20)
          let echo = try await client.call(large).message
          #expect(echo == large)
        }
      }
    }
  }
}
