import Foundation
import GRPCCore
import GRPCNGHTTP2
import TestSupport
import Testing

/// BULKHEAD_FUZZ_FACTOR makes the random tests longer.
private let fuzzFactor = ProcessInfo.processInfo.environment["BULKHEAD_FUZZ_FACTOR"].flatMap { Int($0) } ?? 1

/// Peers that speak HTTP/2, but badly. The server must live, and serve others.
@Suite(.timeLimit(.minutes(1)))
struct HostilePeerTests {
  /// Connects to a server, sends `bytes`, and returns once the server has closed the connection.
  private func expectClosed(after bytes: [UInt8]) async throws {
    try await withEchoServer { path, _, _ in
      let socket = try RawSocket(connectedTo: path)
      socket.writeAll(bytes)
      try await eventually("the end of the connection") { try await socket.read().isEmpty }
      try await withGRPCClient(transport: .unix(path: path)) { try await $0.expectEcho([1]) }
    }
  }

  @Test func floodOfPings() async throws {
    let ping = Frames.frame(Frames.Kind.ping, 0, 0, Array(repeating: 1, count: 8))
    let flood = Array(repeatElement(ping, count: 100_000).joined())
    try await withEchoServer { path, _, _ in
      let socket = try RawSocket(connectedTo: path)
      // Nothing is read, so that the answers pile up.
      socket.writeAll(Frames.preface + Frames.settings + flood)
      try await withGRPCClient(transport: .unix(path: path)) { try await $0.expectEcho([1]) }
    }
  }

  @Test func floodOfResets() async throws {
    var bytes = Frames.preface + Frames.settings
    for index in UInt32(0)..<5000 {
      bytes += Frames.request(2 * index + 1, method: "Wait")
      bytes += Frames.frame(Frames.Kind.reset, 0, 2 * index + 1, Frames.bytes(8))
    }
    try await expectClosed(after: bytes)
  }

  @Test func floodOfContinuations() async throws {
    var bytes = Frames.preface + Frames.settings + Frames.request(1, flags: 0)
    for _ in 0..<1000 { bytes += Frames.frame(Frames.Kind.continuation, 0, 1, Frames.headerBlock([("a", "b")])) }
    try await expectClosed(after: bytes)
  }

  @Test func brokenHeaderCompression() async throws {
    let headers = Frames.frame(Frames.Kind.headers, Frames.endHeaders, 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    try await expectClosed(after: Frames.preface + Frames.settings + headers)
  }

  @Test func frameLargerThanAllowed() async throws {
    let data = Frames.message(1, [UInt8](repeating: 0, count: 100_000))
    try await expectClosed(after: Frames.preface + Frames.settings + Frames.request(1) + data)
  }

  /// A client that ignores flow control: its window is not given back while the handler does not read.
  @Test func moreThanTheWindow() async throws {
    var bytes = Frames.preface + Frames.settings + Frames.request(1, method: "Wait")
    for _ in 0..<200 { bytes += Frames.message(1, [UInt8](repeating: 0, count: 16_000), flags: 0) }
    try await withEchoServer { path, log, _ in
      let socket = try RawSocket(connectedTo: path)
      socket.writeAll(bytes)
      try await eventually("the handler's cancellation") { log.sawCancellation }
      try await withGRPCClient(transport: .unix(path: path)) { try await $0.expectEcho([1]) }
    }
  }

  /// Requests whose answers are never read: they wait, and nothing else does.
  @Test func clientThatNeverReads() async throws {
    try await withEchoServer { path, log, _ in
      let socket = try RawSocket(connectedTo: path)
      socket.writeAll(
        Frames.preface + Frames.settings + Frames.request(1, method: "Expand")
          + Frames.message(1, Array("1000 65536".utf8)))
      try await eventually("the first message") { log.contains("expanded 1") }
      try await withGRPCClient(transport: .unix(path: path)) { try await $0.expectEcho([1]) }
      #expect(!log.contains("expanded 20"), "without a window, only the send buffer is filled")
      socket.close()
    }
  }

  // MARK: - Random frames

  @Test func randomFramesToTheServer() async throws {
    var random = SeededRandom(seed: 3)
    try await withEchoServer { path, _, _ in
      for round in 0..<400 * fuzzFactor {
        let socket = try RawSocket(connectedTo: path)
        socket.writeAll(Frames.preface + Frames.settings + Self.randomFrames(&random))
        if round % 4 == 0 { _ = try await socket.read() }
      }
      try await withGRPCClient(transport: .unix(path: path)) { try await $0.expectEcho([1]) }
    }
  }

  @Test func randomFramesToTheClient() async throws {
    var random = SeededRandom(seed: 4)
    for _ in 0..<150 * fuzzFactor {
      let (ours, theirs) = try RawSocket.pair()
      let descriptor = ours.release()
      let frames = Frames.settings + Self.randomFrames(&random)
      try await withGRPCClient(transport: NGHTTP2ClientTransport(connect: { descriptor })) { client in
        let call = Task { await rpcError { _ = try await client.call([1]) } }
        theirs.writeAll(frames)
        _ = try await theirs.read()
        theirs.close()
        // There is no right answer, only the need for an end.
        #expect(await call.value != nil)
      }
    }
  }

  /// Plausible streams with mistakes in them: a session dies of pure noise at the first frame.
  private static func randomFrames(_ random: inout SeededRandom) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<Int.random(in: 1...40, using: &random) {
      let stream = UInt32.random(in: 0...9, using: &random)
      let flags = [0, Frames.endStream, Frames.endHeaders, 5, .random(in: 0...255, using: &random)]
      var frame: [UInt8]
      switch Int.random(in: 0..<6, using: &random) {
      case 0, 1:
        let method = ["Unary", "Collect", "Expand", "Chat", "Fail", "Wait"].randomElement(using: &random) ?? ""
        frame = Frames.request(stream | 1, method: method, flags: Bool.random(using: &random) ? 4 : 5)
      case 2, 3:
        let length = Int.random(in: 0...300, using: &random)
        frame = Frames.message(stream | 1, noise(length, &random), flags: UInt8.random(in: 0...1, using: &random))
      default:
        let kind = UInt8.random(in: 0...10, using: &random)
        frame = Frames.frame(
          kind, flags.randomElement(using: &random) ?? 0, stream, noise(.random(in: 0...40, using: &random), &random))
      }
      if Int.random(in: 0..<12, using: &random) == 0 {
        frame[Int.random(in: 0..<frame.count, using: &random)] = .random(in: 0...255, using: &random)
      }
      bytes += frame
    }
    return bytes
  }

  private static func noise(_ length: Int, _ random: inout SeededRandom) -> [UInt8] {
    (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
  }
}
