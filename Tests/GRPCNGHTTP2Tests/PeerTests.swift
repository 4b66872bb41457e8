import Foundation
import GRPCCore
import GRPCNGHTTP2
import Testing
import TestSupport

/// Peers that vanish, are not there, or go away.
@Suite(.timeLimit(.minutes(1)))
struct PeerTests {
  @Test func noServerIsUnavailable() async throws {
    try await withGRPCClient(transport: .unix(path: "/nonexistent/socket")) { client in
      let error = await rpcError { _ = try await client.call([]) }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("/nonexistent/socket: No such file or directory") == true)
    }
  }

  @Test func connectingIsBoundedInTime() async throws {
    var configuration = NGHTTP2ClientTransport.Configuration()
    configuration.connectTimeout = .milliseconds(100)
    let transport = NGHTTP2ClientTransport(
      connect: {
        try await Task.sleep(for: .seconds(60))
        return -1
      }, configuration: configuration)
    try await withGRPCClient(transport: transport) { client in
      #expect(await rpcError { _ = try await client.call([]) }?.code == .unavailable)
    }
  }

  @Test func serverThatVanishesMakesCallsUnavailable() async throws {
    let (ours, theirs) = try RawSocket.pair()
    let descriptor = ours.release()
    let transport = NGHTTP2ClientTransport(connect: { descriptor })
    try await withGRPCClient(transport: transport) { client in
      let call = Task { await rpcError { _ = try await client.call([1]) } }
      _ = try await theirs.read()
      theirs.close()
      #expect(await call.value?.code == .unavailable)
    }
  }

  @Test func serverThatTalksNonsenseMakesCallsUnavailable() async throws {
    let (ours, theirs) = try RawSocket.pair()
    let descriptor = ours.release()
    let transport = NGHTTP2ClientTransport(connect: { descriptor })
    try await withGRPCClient(transport: transport) { client in
      let call = Task { await rpcError { _ = try await client.call([1]) } }
      _ = try await theirs.read()
      theirs.writeAll(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
      #expect(await call.value?.code == .unavailable)
    }
  }

  @Test func serverThatSaysNothingIsFoundOut() async throws {
    var configuration = NGHTTP2ClientTransport.Configuration()
    configuration.keepalive = Keepalive(interval: .milliseconds(100), timeout: .milliseconds(100))
    let (ours, theirs) = try RawSocket.pair()
    let descriptor = ours.release()
    let transport = NGHTTP2ClientTransport(connect: { descriptor }, configuration: configuration)
    try await withGRPCClient(transport: transport) { client in
      let error = await rpcError { _ = try await client.call([1]) }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("did not answer a ping") == true)
    }
    theirs.close()
  }

  @Test func clientThatVanishesCancelsTheHandler() async throws {
    try await withEchoServer { path, log, _ in
      let client = GRPCClient(transport: .unix(path: path))
      let connections = Task { try await client.runConnections() }
      let call = Task { await rpcError { _ = try await client.call([], EchoService.wait) } }
      try await eventually("the handler's start") { log.contains("waiting") }
      connections.cancel()
      #expect(await call.value?.code == .unavailable)
      try await eventually("the handler's cancellation") { log.sawCancellation }
      _ = try await connections.value
    }
  }

  @Test func garbageClosesItsConnectionAlone() async throws {
    try await withEchoServer { path, _, _ in
      let garbage = try RawSocket(connectedTo: path)
      garbage.writeAll(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
      // The server's SETTINGS, and then the end.
      try await eventually("the end of the connection") { try await garbage.read().isEmpty }
      try await withGRPCClient(transport: .unix(path: path)) { client in
        try await client.expectEcho([1])
      }
    }
  }

  @Test func tooManyConnectionsAreClosed() async throws {
    var configuration = NGHTTP2ServerTransport.Configuration()
    configuration.maxConnections = 2
    try await withEchoServer(configuration) { path, _, _ in
      let first = try RawSocket(connectedTo: path)
      #expect(try await !first.read().isEmpty)
      try await withGRPCClient(transport: .unix(path: path)) { client in
        try await client.expectEcho([1])
        let third = try RawSocket(connectedTo: path)
        #expect(try await third.read().isEmpty)
        try await client.expectEcho([2])
      }
    }
  }

  // MARK: - Shutdown

  @Test func gracefulShutdownFinishesWhatRuns() async throws {
    try await withEchoServer { path, log, server in
      try await withGRPCClient(transport: .unix(path: path)) { client in
        let request = StreamingClientRequest<[UInt8]> { writer in
          try await writer.write([1])
          try await eventually("the call's start") { log.contains("collected 1") }
          server.beginGracefulShutdown()
          try await eventually("the socket's removal") { !FileManager.default.fileExists(atPath: path) }
          try await eventually("refusal of new calls") {
            await rpcError { _ = try await client.call([]) }?.code == .unavailable
          }
          try await writer.write([2])
        }
        let all = try await client.clientStreaming(
          request: request, descriptor: EchoService.collect, serializer: BytesCoder(), deserializer: BytesCoder(),
          options: .defaults
        ) { try $0.message }
        #expect(all == [1, 2])
      }
    }
  }

  @Test func gracePeriodEnds() async throws {
    var configuration = NGHTTP2ServerTransport.Configuration()
    configuration.shutdownGracePeriod = .milliseconds(200)
    try await withEchoServer(configuration) { path, log, server in
      try await withGRPCClient(transport: .unix(path: path)) { client in
        let call = Task { await rpcError { _ = try await client.call([], EchoService.wait) } }
        try await eventually("the handler's start") { log.contains("waiting") }
        server.beginGracefulShutdown()
        #expect(await call.value?.code == .unavailable)
        try await eventually("the handler's cancellation") { log.sawCancellation }
      }
    }
  }

  @Test func clientReconnectsToANewServer() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/s"
      try await withGRPCClient(transport: .unix(path: path)) { client in
        for _ in 0..<3 {
          let transport = try NGHTTP2ServerTransport(listeners: [.unix(path: path)])
          try await withGRPCServer(transport: transport, services: [EchoService()]) { _ in
            try await eventually("a call") { (try? await client.call([1]).message) == [1] }
          }
          #expect(await rpcError { _ = try await client.call([1]) }?.code == .unavailable)
        }
      }
    }
  }

  @Test func clientThatWasShutDownRefusesCalls() async throws {
    try await withEcho { client, _ in
      try await client.expectEcho([1])
      client.beginGracefulShutdown()
      await #expect(throws: (any Error).self) { try await client.call([1]) }
    }
  }
}
