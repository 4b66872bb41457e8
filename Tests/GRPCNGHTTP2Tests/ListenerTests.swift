import Foundation
import GRPCCore
import GRPCNGHTTP2
import LinuxSystem
import Testing

@Suite(.timeLimit(.minutes(1)))
struct ListenerTests {
  @Test func socketIsPrivateAndGoesWithTheServer() async throws {
    let path = try await withEchoServer { path, _, _ in
      try await withGRPCClient(transport: .unix(path: path)) { try await $0.expectEcho([1]) }
      let attributes = try FileManager.default.attributesOfItem(atPath: path)
      #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: (path as NSString).deletingLastPathComponent) == ["s"])
      return path
    }
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func socketInUseIsLeftAlone() async throws {
    try await withEcho { client, _ in
      try await withEchoServer { path, _, _ in
        #expect {
          try NGHTTP2ServerTransport(listeners: [.unix(path: path)])
        } throws: {
          "\($0)".hasPrefix("address in use: \(path): another process listens on it")
        }
        try await withGRPCClient(transport: .unix(path: path)) { client in
          try await client.expectEcho([1])
        }
      }
    }
  }

  @Test func staleSocketIsReplaced() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/s"
      try RawSocket.leaveStale(at: path)
      let transport = try NGHTTP2ServerTransport(listeners: [.unix(path: path)])
      try await withGRPCServer(transport: transport, services: [EchoService()]) { _ in
        try await withGRPCClient(transport: .unix(path: path)) { client in
          try await client.expectEcho([1])
        }
      }
    }
  }

  @Test func otherFilesAreNeverReplaced() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/s"
      try Data("precious".utf8).write(to: URL(filePath: path))
      #expect(throws: AddressInUse.self) { try NGHTTP2ServerTransport(listeners: [.unix(path: path)]) }
      #expect(try Data(contentsOf: URL(filePath: path)) == Data("precious".utf8))
    }
  }

  @Test func tooLongAPathIsAnError() {
    let path = "/tmp/" + String(repeating: "a", count: 200)
    #expect {
      try NGHTTP2ServerTransport(listeners: [.unix(path: path)])
    } throws: {
      "\($0)".contains("File name too long")
    }
  }

  /// A kernel without vsock refuses the socket, and that must be said too.
  @Test func vsockPortIsTakenOnce() throws {
    let listener = Listener.vsock(port: 0x42_4b01, acceptedCIDs: [2])
    guard FileManager.default.fileExists(atPath: "/dev/vsock") else {
      #expect(throws: SystemError.self) { try NGHTTP2ServerTransport(listeners: [listener]) }
      return
    }
    let first = try NGHTTP2ServerTransport(listeners: [listener])
    #expect {
      try NGHTTP2ServerTransport(listeners: [listener])
    } throws: {
      "\($0)" == "bind vsock port 4344577: Address already in use"
    }
    first.beginGracefulShutdown()
    _ = try NGHTTP2ServerTransport(listeners: [listener])
  }

  @Test func listeningDescriptorIsServed() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/s"
      let transport = try NGHTTP2ServerTransport(listeners: [.descriptor(try RawSocket.listening(at: path).release())])
      try await withGRPCServer(transport: transport, services: [EchoService()]) { _ in
        try await withGRPCClient(transport: .unix(path: path)) { client in
          try await client.expectEcho([1])
        }
      }
    }
  }

  @Test func serverThatWasNeverStartedRemovesItsSocket() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/s"
      _ = try NGHTTP2ServerTransport(listeners: [.unix(path: path)])
      #expect(!FileManager.default.fileExists(atPath: path))
    }
  }
}
