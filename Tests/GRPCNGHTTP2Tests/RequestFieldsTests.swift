import TestSupport
import Testing

@testable import GRPCNGHTTP2

/// What a server lets through of what clients send.
struct RequestFieldsTests {
  private static let pseudo = [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C")]
  private static let fields = pseudo + [("content-type", "application/grpc"), ("te", "trailers")]

  private func isWellFormed(_ fields: [(String, String)]) -> Bool {
    fields.map { HeaderField($0.0, $0.1) }.isWellFormedRequest
  }

  /// grpc-go sends a unix socket's path, as it is or, in later versions, with escapes.
  @Test(arguments: ["localhost", "/run/bulkhead/bulkhead.sock", "%2Frun%2Fbulkhead.sock", "unix:/a b", "", "[::1]:80"])
  func authorities(_ authority: String) {
    #expect(isWellFormed(Self.pseudo + [(":authority", authority), ("te", "trailers")]))
  }

  @Test(arguments: [
    ("grpc-timeout", "1S"), ("user-agent", "grpc-go/1.33.3 größer"), ("a-bin", "AQI="), ("x_y.z", ""),
    ("a", "b\tc"), ("content-length", "5"),
  ])
  func regularFields(_ field: (String, String)) { #expect(isWellFormed(Self.fields + [field])) }

  @Test(arguments: [
    ("Upper", "a"), ("", "a"), ("a b", "c"), ("a\u{0}", "b"), ("größe", "a"), ("a:b", "c"), ("connection", "close"),
    ("keep-alive", "1"), ("proxy-connection", "a"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"),
    ("te", "gzip"), ("a", "b\u{0}"), ("a", "b\r\nc: d"), ("a", "\u{7f}"), ("a", " b"), ("a", "b\t"),
    (":path", "/after/regular"), (":status", "200"), (":protocol", "websocket"), (":", "a"),
  ])
  func malformedFields(_ field: (String, String)) { #expect(!isWellFormed(Self.fields + [field])) }

  @Test func pseudoFieldsAreThereOnceAndFirst() {
    for missing in Self.pseudo.indices {
      var fields = Self.fields
      fields.remove(at: missing)
      #expect(!isWellFormed(fields))
      #expect(!isWellFormed([Self.fields[missing]] + Self.fields))
    }
    #expect(!isWellFormed([("te", "trailers")] + Self.pseudo))
    #expect(!isWellFormed(Self.pseudo + [(":authority", "a\u{1}")]))
    #expect(!isWellFormed([]))
  }

  @Test func trailers() {
    #expect([HeaderField("a", "b")].areWellFormedTrailers)
    #expect([HeaderField]().areWellFormedTrailers)
    #expect(![HeaderField("a", "b"), HeaderField(":path", "/")].areWellFormedTrailers)
    #expect(![HeaderField("A", "b")].areWellFormedTrailers)
    #expect(![HeaderField("a", "b\n")].areWellFormedTrailers)
  }

  // MARK: - By a connection

  /// What the server sent on a connection that got `bytes`, up to where it contains `answer`.
  private func expect(_ answer: [UInt8], after bytes: [UInt8]) async throws {
    try await withEchoServer { path, _, _ in
      let socket = try RawSocket(connectedTo: path)
      socket.writeAll(Frames.preface + Frames.settings + bytes)
      var got: [UInt8] = []
      while !got.containsPart(answer) {
        let more = try await socket.read()
        guard !more.isEmpty else {
          Issue.record("the connection ended after \(got.count) bytes")
          return
        }
        got += more
      }
      // What came of one stream is no other's business.
      socket.writeAll(Frames.request(101) + Frames.message(101, Array("later".utf8)))
      while !got.containsPart(Array("later".utf8)) { got += try await socket.read() }
    }
  }

  @Test func aPathIsAnAuthority() async throws {
    let request = Frames.request(1, authority: "/run/bulkhead/bulkhead.sock") + Frames.message(1, Array("echo me".utf8))
    try await expect(Array("echo me".utf8), after: request)
  }

  private static let protocolError = Frames.frame(Frames.Kind.reset, 0, 1, Frames.bytes(1))

  @Test func aMalformedRequestIsReset() async throws {
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/test.Echo/Unary"), ("Te", "trailers")]
    let headers = Frames.frame(Frames.Kind.headers, Frames.endHeaders, 1, Frames.headerBlock(fields))
    try await expect(Self.protocolError, after: headers + Frames.message(1, [1, 2, 3]))
  }

  @Test func trailersWithoutAnEndAreReset() async throws {
    let trailers = Frames.frame(Frames.Kind.headers, Frames.endHeaders, 1, Frames.headerBlock([("a", "b")]))
    try await expect(Self.protocolError, after: Frames.request(1, method: "Wait") + trailers + trailers)
  }

  @Test func trailersEndARequest() async throws {
    let message = Frames.message(1, Array("echo me".utf8), flags: 0)
    let flags = Frames.endHeaders | Frames.endStream
    let trailers = Frames.frame(Frames.Kind.headers, flags, 1, Frames.headerBlock([("a", "b")]))
    try await expect(Array("echo me".utf8), after: Frames.request(1) + message + trailers)
  }
}

extension [UInt8] {
  fileprivate func containsPart(_ part: [UInt8]) -> Bool {
    part.isEmpty || indices.contains { self[$0...].starts(with: part) }
  }
}
