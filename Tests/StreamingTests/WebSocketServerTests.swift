import Foundation
import Testing
import TestSupport

@testable import Streaming

/// Exec over a WebSocket's channels, on a real socket.
@Suite struct WebSocketServerTests {
  @Test func stdinHalfClosedInV5() async throws {
    try await TestServer.with { server in
      let url = try server.exec("cat", stdin: true)
      try await client {
        let socket = try WebSocketClient(url, "v5.channel.k8s.io")
        // Kubernetes' servers say that they are ready with an empty message.
        #expect(try socket.frame() == .init(opcode: 2, payload: [1]))
        try socket.channel(0, Array("one ".utf8))
        try socket.channel(0, [])
        try socket.channel(0, Array("two".utf8))
        try socket.channel(255, [0])
        let (channels, code) = try socket.collect()
        #expect(text(channels[1]) == "one two")
        #expect(text(channels[3]).contains(#""status":"Success""#))
        #expect(code == 1000)
        try socket.send(8, [3, 232])
        #expect(socket.socket.readsEnd())
      }
    }
  }

  @Test(arguments: ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"])
  func exitCodeInEveryVersion(channels: String) async throws {
    try await TestServer.with { server in
      let url = try server.exec("exit", "3", stderr: true)
      try await client {
        let error = text(try WebSocketClient(url, channels).collect().channels[3])
        if channels == "channel.k8s.io" {
          #expect(error == "command terminated with non-zero exit code: 3")
        } else {
          #expect(error.contains(#""reason":"NonZeroExitCode""#))
        }
      }
    }
  }

  @Test(arguments: ["v4.base64.channel.k8s.io", "base64.channel.k8s.io"])
  func base64(channels: String) async throws {
    try await TestServer.with { server in
      let urls = try [server.exec("both", stderr: true), server.exec("cat", stdin: true)]
      try await client {
        let found = try WebSocketClient(urls[0], channels).collect().channels
        #expect(text(found[1]) == "to stdout")
        #expect(text(found[2]) == "to stderr")
        let socket = try WebSocketClient(urls[1], channels)
        try socket.send(1, Array("0aGVsbG8=".utf8))
        #expect(try socket.frame() == .init(opcode: 1, payload: Array("1".utf8)))
        #expect(try socket.frame() == .init(opcode: 1, payload: Array("1aGVsbG8=".utf8)))
        try socket.send(1, Array("0%%%%".utf8))
        #expect(try socket.collect().code == 1007)
      }
    }
  }

  @Test func terminalSizesArrive() async throws {
    try await TestServer.with { server in
      let url = try server.exec("sizes", terminal: true)
      try await client {
        let socket = try WebSocketClient(url, "v4.channel.k8s.io")
        try socket.channel(4, Array(#"{"Width":1,"Height":50}"#.utf8))
        #expect(text(try socket.collect().channels[1]) == "1x50\n")
      }
    }
  }

  @Test func fragmentsAndPings() async throws {
    try await TestServer.with { server in
      let url = try server.exec("cat", stdin: true)
      try await client {
        let socket = try WebSocketClient(url, "v5.channel.k8s.io")
        _ = try socket.frame()
        try socket.send(2, [0] + Array("a".utf8), isLast: false)
        try socket.send(9, Array("are you there".utf8))
        try socket.send(0, Array("b".utf8), isLast: false)
        try socket.send(0, Array("c".utf8))
        try socket.channel(255, [0])
        var pong = false
        var output = ""
        while true {
          let frame = try socket.frame()
          if frame.opcode == 8 { break }
          if frame.opcode == 10 { pong = text(frame.payload) == "are you there" }
          if frame.opcode == 2, frame.payload[0] == 1 { output += text(Array(frame.payload.dropFirst())) }
        }
        #expect(pong)
        #expect(output == "abc")
      }
    }
  }

  @Test func muchBothWaysWithoutLoss() async throws {
    let size = 4 << 20
    try await TestServer.with { server in
      let urls = try [server.exec("flood", "\(size)"), server.exec("count", stdin: true)]
      try await client {
        let found = try WebSocketClient(urls[0], "v5.channel.k8s.io").collect().channels[1] ?? []
        #expect(found.count == size)
        #expect(Data(found.suffix(60000)) == pattern(at: UInt64(size - 60000), count: 60000))
        let socket = try WebSocketClient(urls[1], "v5.channel.k8s.io")
        try socket.channel(0, [UInt8](repeating: 1, count: 3 << 20))
        for _ in 0..<64 { try socket.channel(0, [UInt8](repeating: 1, count: 16 << 10)) }
        try socket.channel(255, [0])
        #expect(text(try socket.collect().channels[1]) == "\(size)")
      }
    }
  }

  @Test func violationsAreNamedInTheCloseFrame() async throws {
    let bad: [(bytes: [UInt8], code: UInt16)] = [
      ([0x82, 0x01, 0x00], 1002),
      ([0x82, 0xff, 0x00, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff], 1009),
      ([0xf2, 0x80, 0, 0, 0, 0], 1002),
      ([0x80, 0x80, 0, 0, 0, 0], 1002),
    ]
    try await TestServer.with { server in
      for (bytes, code) in bad {
        let url = try server.exec("sleep", stdin: true)
        try await client {
          let socket = try WebSocketClient(url, "v5.channel.k8s.io")
          _ = try socket.frame()
          try socket.socket.write(bytes)
          let frame = try socket.frame()
          #expect(frame.closeCode == code)
          #expect(frame.payload.count > 10)
          #expect(socket.socket.readsEnd())
        }
      }
      try await eventually("all hang up") { server.backend.hangUps.count == bad.count }
    }
  }

  @Test func aClientThatClosesHangsUp() async throws {
    try await TestServer.with { server in
      let url = try server.exec("sleep", stdin: true)
      try await client {
        let socket = try WebSocketClient(url, "v4.channel.k8s.io")
        _ = try socket.frame()
        try socket.send(8, [3, 232])
        #expect(try socket.frame().closeCode == 1000)
      }
      try await eventually("the process hangs up") { server.backend.hangUps == ["sleep was cancelled"] }
    }
  }
}
