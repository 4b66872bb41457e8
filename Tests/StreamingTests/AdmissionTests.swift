import Common
import Foundation
import Testing
import TestSupport

@testable import Streaming

/// Who is let in: URLs, tokens, and what the HTTP request must look like.
@Suite struct AdmissionTests {
  private let upgrade = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]

  @Test func aTokenUsedTwice() async throws {
    try await TestServer.with { server in
      let url = try server.exec("exit", "0")
      #expect(url.hasPrefix("http://127.0.0.1:") && url.contains("/exec/"))
      try await client {
        _ = try SPDYClient(url, "v4.channel.k8s.io")
        let (_, second) = try SPDYClient.upgrade(url, ["v4.channel.k8s.io"])
        #expect(second.status == 404)
        #expect(second.body.contains("was used before"))
      }
    }
  }

  @Test func tokensExpire() async throws {
    try await TestServer.with({ $0.tokenLifetime = .zero }) { server in
      let url = try server.exec("exit", "0")
      let status = try await client { try SPDYClient.upgrade(url, []).1.status }
      #expect(status == 404)
    }
  }

  @Test func aTokenIsForItsOwnKindOfSession() async throws {
    try await TestServer.with { server in
      let url = try server.exec("exit", "0").replacingOccurrences(of: "/exec/", with: "/attach/")
      let status = try await client { try SPDYClient.upgrade(url, []).1.status }
      #expect(status == 404)
    }
  }

  @Test func requestsThatAreNoUpgrade() async throws {
    try await TestServer.with { server in
      let urls = try (0..<5).map { _ in try server.exec("exit", "0") }
      let upgrade = upgrade
      try await client {
        #expect(try Socket(urls[0]).request(urls[0], method: "GET", []).status == 400)
        #expect(
          try Socket(urls[1]).request(urls[1], [("Connection", "Upgrade"), ("Upgrade", "h2c")]).status == 400)
        #expect(try Socket(urls[2]).request(urls[2], [("Upgrade", "SPDY/3.1")]).status == 400)
        #expect(try Socket(urls[3]).request(urls[3], method: "PUT", upgrade).status == 405)
        #expect(try Socket(urls[3]).request(urls[3] + "/more", upgrade).status == 404)
        let noise = try Socket(urls[4])
        try noise.write([UInt8](repeating: 0, count: 100))
        #expect(noise.readsEnd())
        let long = try Socket(urls[4])
        try? long.write([UInt8](repeating: 65, count: 1 << 20))
        #expect(long.readsEnd())
        #expect(try SPDYClient.upgrade(urls[4], []).1.status == 101)
      }
    }
  }

  @Test func badWebSocketHandshakes() async throws {
    try await TestServer.with { server in
      let urls = try (0..<4).map { _ in try server.exec("exit", "0") }
      try await client {
        let socket = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        let key = [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
        let version = [("Sec-WebSocket-Version", "13")]
        let noVersion = try Socket(urls[0]).request(urls[0], method: "GET", socket + key)
        #expect(noVersion.status == 426)
        let noKey = try Socket(urls[1]).request(urls[1], method: "GET", socket + version)
        #expect(noKey.status == 400)
        let notGet = try Socket(urls[2]).request(urls[2], method: "POST", socket + key + version)
        #expect(notGet.status == 400)
        #expect(try WebSocketClient.request(urls[3], "v9.channel.k8s.io").1.status == 403)
      }
    }
  }

  @Test func aConnectionThatSaysNothingIsClosed() async throws {
    try await TestServer.with({ $0.handshakeTimeout = .milliseconds(100) }) { server in
      let url = server.server.baseURL
      let ended = try await client { try Socket(url).readsEnd() }
      #expect(ended)
    }
  }

  @Test func moreSessionsThanThereMayBe() async throws {
    try await TestServer.with({ $0.maximumSessions = 2 }) { server in
      let urls = try (0..<4).map { _ in try server.exec("sleep") }
      try await client {
        let open = try urls[..<2].map { try SPDYClient($0, "v4.channel.k8s.io") }
        #expect(try SPDYClient.upgrade(urls[2], []).1.status == 503)
        for one in open { (one.pipe as? Socket)?.close() }
      }
      try await eventually("both sessions end") { server.server.openSessions == 0 }
      let response = try await client { try SPDYClient.upgrade(urls[3], []).1 }
      #expect(response.status == 101, "\(response)")
    }
  }

  @Test func requestsThatMakeNoSense() async throws {
    try await TestServer.with { server in
      func code(_ streams: StandardStreams, _ command: [String] = ["true"]) -> BulkheadError.Code? {
        do throws(BulkheadError) {
          _ = try server.server.url(for: ExecSessionRequest(container: container, command: command, streams: streams))
          return nil
        } catch { return error.code }
      }
      #expect(code(.init()) == .invalidArgument)
      #expect(code(.init(stdout: true, stderr: true, terminal: true)) == .invalidArgument)
      #expect(code(.init(stdout: true), []) == .invalidArgument)
      #expect(code(.init(stdout: true)) == nil)
      #expect(throws: BulkheadError.self) { try server.portForward(80, 0) }
    }
  }

  @Test(arguments: ["0.0.0.0", "192.0.2.1", "::", "localhost", ""])
  func onlyLoopbackIsListenedOn(address: String) async {
    var configuration = StreamingConfiguration()
    configuration.address = address
    let error = await #expect(throws: BulkheadError.self) {
      _ = try await StreamingServer.bind(configuration, backend: TestBackend(), logger: .init(label: "test"))
    }
    #expect(error?.code == .invalidArgument)
  }

  @Test func aPortThatIsTaken() async throws {
    try await TestServer.with { server in
      var configuration = StreamingConfiguration()
      configuration.port = Int(server.server.baseURL.split(separator: ":").last ?? "") ?? 0
      let taken = configuration
      let error = await #expect(throws: BulkheadError.self) {
        _ = try await StreamingServer.bind(taken, backend: TestBackend(), logger: .init(label: "test"))
      }
      #expect(error?.code == .unavailable)
    }
  }

  /// Whatever became of them: 200 sessions leave no connection and no task behind.
  @Test func nothingLeaks() async throws {
    try await TestServer.with { server in
      for round in 0..<200 {
        let url = try server.exec(round % 2 == 0 ? "cat" : "sleep", stdin: true)
        try await client {
          let spdy = try SPDYClient(url, "v4.channel.k8s.io")
          switch round % 4 {
          case 0:
            let ids = try spdy.openStreams("error", "stdin", "stdout")
            try spdy.send(ids["stdin"]!, [], isLast: true)
            _ = try spdy.collect(ids.values)
          case 1: _ = try spdy.openStreams("error", "stdin", "stdout")
          case 2: try spdy.pipe.write([UInt8](repeating: 0xff, count: 100))
          default: break
          }
        }
      }
      try await eventually("all sessions end") {
        server.backend.running == 0 && server.server.openConnections == 0
      }
    }
  }
}
