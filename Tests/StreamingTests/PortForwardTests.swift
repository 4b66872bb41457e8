import Foundation
import Testing
import TestSupport

@testable import Streaming

@Suite struct PortForwardTests {
  private static func connect(_ spdy: SPDYClient, _ port: String, _ id: Int) throws -> (error: UInt32, data: UInt32) {
    let headers = ["port": port, "requestid": "\(id)"]
    let error = try spdy.open(headers.merging(["streamtype": "error"]) { $1 }, isLast: true)
    let data = try spdy.open(headers.merging(["streamtype": "data"]) { $1 })
    // Others' ends may come in between.
    for id in [error, data] { while try spdy.frame() != .reply(id) {} }
    return (error, data)
  }

  private static func manyConnections(_ spdy: SPDYClient) throws {
    let connections = try (0..<100).map { try connect(spdy, "7", $0) }
    for (index, one) in connections.enumerated() { try spdy.send(one.data, "connection \(index)".utf8, isLast: true) }
    let found = try spdy.collect(connections.flatMap { [$0.error, $0.data] })
    for (index, one) in connections.enumerated() {
      #expect(text(found[one.data]) == "connection \(index)")
      #expect(text(found[one.error]) == "")
    }
  }

  @Test func manyConnectionsOfOneSession() async throws {
    try await TestServer.with { server in
      let url = try server.portForward()
      try await client { try Self.manyConnections(try SPDYClient(url, "portforward.k8s.io")) }
    }
  }

  @Test func tunnelledInAWebSocket() async throws {
    try await TestServer.with { server in
      let url = try server.portForward()
      try await client {
        let socket = try WebSocketClient(url, "SPDY/3.1+portforward.k8s.io")
        try Self.manyConnections(SPDYClient(TunnelPipe(socket)))
      }
      try await eventually("the session ends") { server.server.openConnections == 0 }
    }
  }

  @Test func refusedConnectionsDoNotEndTheSession() async throws {
    try await TestServer.with { server in
      let url = try server.portForward()
      try await client {
        let spdy = try SPDYClient(url, "portforward.k8s.io")
        for id in 0..<20 {
          let refused = try Self.connect(spdy, "1", id)
          let found = try spdy.collect([refused.error, refused.data])
          #expect(text(found[refused.error]).contains("error forwarding port 1"))
          #expect(text(found[refused.error]).contains("connection refused"))
        }
        let good = try Self.connect(spdy, "13", 20)
        #expect(text(try spdy.collect([good.error, good.data])[good.data]) == "Sat")
      }
    }
  }

  @Test func aPortOutOfRangeIsSaid() async throws {
    try await TestServer.with { server in
      let url = try server.portForward()
      try await client {
        let spdy = try SPDYClient(url, "portforward.k8s.io")
        let bad = try Self.connect(spdy, "70000", 0)
        let found = try spdy.collect([bad.error, bad.data])
        #expect(text(found[bad.error]).contains("\"70000\" is no port: 1 to 65535"))
        let good = try Self.connect(spdy, "13", 1)
        #expect(text(try spdy.collect([good.error, good.data])[good.data]) == "Sat")
      }
    }
  }

  @Test func aLoneHalfTimesOut() async throws {
    try await TestServer.with({ $0.streamCreationTimeout = .seconds(2) }) { server in
      let url = try server.portForward()
      try await client {
        let spdy = try SPDYClient(url, "portforward.k8s.io")
        let error = try spdy.open(["streamtype": "error", "port": "7", "requestid": "a"])
        let data = try spdy.open(["streamtype": "data", "port": "7", "requestid": "b"])
        let found = try spdy.collect([error, data])
        #expect(text(found[error]).contains("timed out waiting"))
        let good = try Self.connect(spdy, "13", 2)
        #expect(text(try spdy.collect([good.error, good.data])[good.data]) == "Sat")
      }
    }
  }

  @Test func aResetStreamEndsItsConnection() async throws {
    try await TestServer.with { server in
      let url = try server.portForward()
      try await client {
        let spdy = try SPDYClient(url, "portforward.k8s.io")
        let stuck = try Self.connect(spdy, "9", 0)
        try server.backend.awaitRunning(1)
        try spdy.pipe.write(spdy.control(3, spdy.word(stuck.data) + spdy.word(5)))
        try server.backend.awaitRunning(0)
        let good = try Self.connect(spdy, "13", 1)
        #expect(text(try spdy.collect([good.data])[good.data]) == "Sat")
      }
      #expect(server.backend.hangUps == ["connection was cancelled"])
    }
  }

  @Test func moreStreamsThanThereMayBe() async throws {
    try await TestServer.with { server in
      let url = try server.portForward()
      try await client {
        let spdy = try SPDYClient(url, "portforward.k8s.io")
        for id in 0..<512 { _ = try Self.connect(spdy, "9", id) }
        let id = try spdy.open(["streamtype": "error", "port": "9", "requestid": "600"])
        #expect(try spdy.frame() == .reset(id, status: 3))
      }
      try await eventually("all connections end") { server.backend.running == 0 }
    }
  }

  @Test func channelsOfAWebSocket() async throws {
    try await TestServer.with { server in
      let url = try server.portForward(7, 1, 13)
      try await client {
        let socket = try WebSocketClient(url, "v4.channel.k8s.io")
        try socket.channel(0, Array("echo".utf8))
        var found: [UInt8: [UInt8]] = [:]
        while text(found[0]?.dropFirst(2).map { $0 }) != "echo" || (found[3]?.count ?? 0) < 3
          || (found[4]?.count ?? 0) < 5
        {
          let frame = try socket.frame()
          found[frame.payload[0], default: []] += frame.payload.dropFirst()
        }
        // The port, little-endian, comes first on each.
        for (index, port) in [7, 1, 13].enumerated() {
          #expect(found[UInt8(index * 2)]?.prefix(2) == [UInt8(port), 0])
          #expect(found[UInt8(index * 2 + 1)]?.prefix(2) == [UInt8(port), 0])
        }
        #expect(text(found[3]).contains("connection refused"))
        #expect(text(found[4]).hasSuffix("Sat"))
      }
    }
  }

  @Test func channelsNeedThePortsOfTheCall() async throws {
    try await TestServer.with { server in
      let url = try server.portForward()
      let status = try await client { try WebSocketClient.request(url, "v4.channel.k8s.io").1.status }
      #expect(status == 400)
    }
  }
}
