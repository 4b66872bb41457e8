import Common
import Foundation
import Testing
import TestSupport

@testable import Streaming

/// Exec over SPDY/3.1, on a real socket.
@Suite struct SPDYServerTests {
  @Test func stdinComesBackAndItsEndArrives() async throws {
    try await TestServer.with { server in
      let url = try server.exec("cat", stdin: true)
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdin", "stdout")
        try spdy.send(ids["stdin"]!, "one ".utf8)
        try spdy.send(ids["stdin"]!, "two".utf8, isLast: true)
        let found = try spdy.collect(ids.values)
        #expect(text(found[ids["stdout"]!]) == "one two")
        #expect(text(found[ids["error"]!]).contains(#""status":"Success""#))
        #expect(try spdy.frame() == .goAway(status: 0))
        #expect((spdy.pipe as? Socket)?.readsEnd() == true)
      }
    }
  }

  @Test func stdoutAndStderrAreApart() async throws {
    try await TestServer.with { server in
      let url = try server.exec("both", stderr: true)
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdout", "stderr")
        let found = try spdy.collect(ids.values)
        #expect(text(found[ids["stdout"]!]) == "to stdout")
        #expect(text(found[ids["stderr"]!]) == "to stderr")
      }
    }
  }

  @Test(arguments: [
    nil, "channel.k8s.io", "v2.channel.k8s.io", "v3.channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io",
  ])
  func exitCodeInEveryVersion(version: String?) async throws {
    try await TestServer.with { server in
      let url = try server.exec("exit", "3")
      try await client {
        let (upgraded, response) = try SPDYClient.upgrade(url, version.map { [$0] } ?? [])
        let spdy = try #require(upgraded)
        #expect(response.headers["x-stream-protocol-version"] == version)
        #expect(response.headers["upgrade"]?.lowercased() == "spdy/3.1")
        let ids = try spdy.openStreams("error", "stdout")
        let error = text(try spdy.collect(ids.values)[ids["error"]!])
        if version == "v4.channel.k8s.io" || version == "v5.channel.k8s.io" {
          #expect(error.contains(#""reason":"NonZeroExitCode""#) && error.contains(#""message":"3""#))
        } else {
          #expect(error == "command terminated with non-zero exit code: 3")
        }
      }
    }
  }

  @Test func theClientsOrderDecidesTheVersion() async throws {
    try await TestServer.with { server in
      let urls = try [server.exec("exit", "0"), server.exec("exit", "0")]
      try await client {
        let (_, first) = try SPDYClient.upgrade(urls[0], ["v9.channel.k8s.io, v4.channel.k8s.io", "v5.channel.k8s.io"])
        #expect(first.headers["x-stream-protocol-version"] == "v4.channel.k8s.io")
        let (_, second) = try SPDYClient.upgrade(urls[1], ["v9.channel.k8s.io"])
        #expect(second.status == 403)
        #expect(second.headers["x-accepted-stream-protocol-versions"]?.contains("v4.channel.k8s.io") == true)
        #expect(second.body.contains("no common protocol"))
      }
    }
  }

  @Test func terminalSizesArrive() async throws {
    try await TestServer.with { server in
      let url = try server.exec("sizes", stdin: true, terminal: true)
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdin", "stdout", "resize")
        try spdy.send(ids["resize"]!, #"{"Width":80,"Height":24}"#.utf8)
        #expect(try spdy.frame() == .data(ids["stdout"]!, Array("80x24\n".utf8), isLast: false))
        try spdy.send(ids["resize"]!, #"{"Width":1,"He"#.utf8)
        try spdy.send(ids["resize"]!, #"ight":2}"#.utf8)
        #expect(text(try spdy.collect(ids.values)[ids["stdout"]!]) == "1x2\n")
      }
    }
  }

  @Test func whatCanNotBeRunIsSaid() async throws {
    try await TestServer.with { server in
      let url = try server.exec("broken")
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdout")
        let error = text(try spdy.collect(ids.values)[ids["error"]!])
        #expect(error.contains("no such program") && error.contains("InternalError"))
      }
    }
  }

  @Test func attach() async throws {
    try await TestServer.with { server in
      let url = try server.server.url(
        for: AttachSessionRequest(container: container, streams: .init(stdout: true)))
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdout")
        #expect(text(try spdy.collect(ids.values)[ids["stdout"]!]) == "attached")
      }
    }
  }

  @Test func muchBothWaysWithoutLoss() async throws {
    let size = 16 << 20
    try await TestServer.with { server in
      let down = try server.exec("flood", "\(size)")
      let up = try server.exec("count", stdin: true)
      try await client {
        let spdy = try SPDYClient(down, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdout")
        let found = try spdy.collect(ids.values)[ids["stdout"]!] ?? []
        #expect(found.count == size)
        #expect(Data(found.suffix(60000)) == pattern(at: UInt64(size - 60000), count: 60000))
      }
      try await client {
        let spdy = try SPDYClient(up, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdin", "stdout")
        // One frame of almost the greatest length, and many small ones.
        try spdy.send(ids["stdin"]!, [UInt8](repeating: 7, count: 15 << 20))
        for _ in 0..<1024 { try spdy.send(ids["stdin"]!, [UInt8](repeating: 8, count: 1024)) }
        try spdy.send(ids["stdin"]!, [], isLast: true)
        #expect(text(try spdy.collect(ids.values)[ids["stdout"]!]) == "\(size)")
      }
    }
  }

  @Test func aSlowReaderHoldsTheProcessUp() async throws {
    let size = 64 << 20
    try await TestServer.with { server in
      let url = try server.exec("flood", "\(size)")
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdout")
        var seen = -1
        while server.backend.flooded != seen {
          seen = server.backend.flooded
          usleep(300_000)
        }
        // What the two kernels' buffers hold, and the server's few.
        #expect(seen < 16 << 20)
        var total = 0
        while total < size {
          if case .data(ids["stdout"]!, let bytes, _) = try spdy.frame() { total += bytes.count }
        }
        #expect(total == size)
      }
    }
  }

  @Test func aProcessThatReadsNothingHoldsItsClientUp() async throws {
    try await TestServer.with({ $0.probeInterval = .milliseconds(100) }) { server in
      let url = try server.exec("sleep", stdin: true)
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error", "stdin", "stdout")
        try server.backend.awaitRunning(1)
        let socket = try #require(spdy.pipe as? Socket)
        let frame = spdy.word(ids["stdin"]!) + [0] + spdy.word(60000).dropFirst() + [UInt8](repeating: 1, count: 60000)
        let taken = socket.writeUntilStuck(256 << 20, seconds: 1, frame)
        #expect(taken < 16 << 20)
        #expect(server.backend.running == 1)
        // Unread input or not: a client that goes away is noticed.
        socket.close()
      }
      try await eventually("the process hangs up") { server.backend.hangUps == ["sleep was cancelled"] }
    }
  }

  @Test func aClientThatVanishesHangsUp() async throws {
    try await TestServer.with { server in
      let url = try server.exec("sleep")
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        _ = try spdy.openStreams("error", "stdout")
        try server.backend.awaitRunning(1)
        (spdy.pipe as? Socket)?.close()
      }
      try await eventually("the process hangs up") { server.backend.hangUps == ["sleep was cancelled"] }
      try await eventually("nothing runs") { server.backend.running == 0 }
    }
  }

  @Test func pingsAreAnswered() async throws {
    try await TestServer.with { server in
      let url = try server.exec("sleep")
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        try spdy.pipe.write(spdy.control(6, spdy.word(1)))
        #expect(try spdy.frame() == .ping(1))
      }
    }
  }

  @Test func streamsThatNobodyWantsAreReset() async throws {
    try await TestServer.with { server in
      let url = try server.exec("exit", "0")
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        for type in ["stdin", "stderr", "resize", "other"] {
          let id = try spdy.open(["streamtype": type])
          #expect(try spdy.frame() == .reset(id, status: 3))
        }
        let ids = try spdy.openStreams("error")
        let again = try spdy.open(["streamtype": "error"])
        #expect(try spdy.frame() == .reset(again, status: 3))
        let rest = try spdy.openStreams("stdout")
        #expect(text(try spdy.collect([ids["error"]!, rest["stdout"]!])[ids["error"]!]).contains("Success"))
      }
    }
  }

  @Test func streamsThatNeverCome() async throws {
    try await TestServer.with({ $0.streamCreationTimeout = .seconds(2) }) { server in
      let url = try server.exec("exit", "0")
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        let ids = try spdy.openStreams("error")
        #expect(text(try spdy.collect(ids.values)[ids["error"]!]).contains("timed out waiting"))
        #expect(try spdy.frame() == .goAway(status: 0))
      }
    }
  }

  enum Garbage: CaseIterable, Sendable {
    case bomb, oversizedFrame, wrongVersion, badCompression, evenStream, noise

    func bytes(_ spdy: SPDYClient) throws -> [UInt8] {
      switch self {
      case .bomb: spdy.synStream(1, try HeaderDeflater().deflate([UInt8](repeating: 65, count: 4 << 20)))
      case .oversizedFrame: [0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]
      case .wrongVersion: [0x80, 2, 0, 1, 0, 0, 0, 0]
      case .badCompression: spdy.synStream(1, Array("this is no zlib".utf8))
      case .evenStream: spdy.synStream(2, try HeaderDeflater().deflate(HeaderBlock(["streamtype": "error"]).encoded))
      case .noise: [UInt8](repeating: 0xa5, count: 4096)
      }
    }
  }

  @Test(arguments: Garbage.allCases) func garbageEndsItsSessionOnly(garbage: Garbage) async throws {
    try await TestServer.with { server in
      let victim = try server.exec("sleep")
      let other = try server.exec("cat", stdin: true)
      try await client {
        let steady = try SPDYClient(other, "v4.channel.k8s.io")
        let ids = try steady.openStreams("error", "stdin", "stdout")
        let spdy = try SPDYClient(victim, "v4.channel.k8s.io")
        try spdy.pipe.write(garbage.bytes(spdy))
        #expect(try spdy.frame() == .goAway(status: 1))
        #expect((spdy.pipe as? Socket)?.readsEnd() == true)
        try steady.send(ids["stdin"]!, "still here".utf8, isLast: true)
        #expect(text(try steady.collect(ids.values)[ids["stdout"]!]) == "still here")
      }
    }
  }

  @Test func sixtyFourSessionsAtOnce() async throws {
    try await TestServer.with { server in
      let urls = try (0..<64).map { _ in try server.exec("cat", stdin: true) }
      try await client {
        var sessions: [(SPDYClient, [String: UInt32])] = []
        for url in urls {
          let spdy = try SPDYClient(url, "v4.channel.k8s.io")
          sessions.append((spdy, try spdy.openStreams("error", "stdin", "stdout")))
        }
        try server.backend.awaitRunning(64)
        for (index, (spdy, ids)) in sessions.enumerated() {
          try spdy.send(ids["stdin"]!, "session \(index)".utf8, isLast: true)
        }
        for (index, (spdy, ids)) in sessions.enumerated() {
          #expect(text(try spdy.collect(ids.values)[ids["stdout"]!]) == "session \(index)")
        }
      }
    }
  }

  @Test func anIdleSessionEnds() async throws {
    // Long enough for the process to start on a busy machine.
    try await TestServer.with({ $0.idleTimeout = .seconds(2) }) { server in
      let url = try server.exec("sleep")
      try await client {
        let spdy = try SPDYClient(url, "v4.channel.k8s.io")
        _ = try spdy.openStreams("error", "stdout")
        #expect((spdy.pipe as? Socket)?.readsEnd() == true)
      }
      try await eventually("the process hangs up") { server.backend.hangUps == ["sleep was cancelled"] }
    }
  }
}
