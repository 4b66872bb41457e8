import GRPCCore
import TestSupport
import Testing

@testable import GRPCNGHTTP2

/// The texts inside headers.
struct HeaderTests {
  private static let request = [
    HeaderField(":method", "POST"), HeaderField(":path", "/a.B/C"),
    HeaderField("content-type", "application/grpc+proto"),
  ]

  @Test(arguments: [
    ("1H", Duration.seconds(3600)), ("2M", .seconds(120)), ("3S", .seconds(3)), ("4m", .milliseconds(4)),
    ("5u", .microseconds(5)), ("6n", .nanoseconds(6)), ("99999999H", .seconds(99_999_999 * 3600)),
  ])
  func timeouts(_ text: String, _ timeout: Duration) { #expect(GRPCTimeout.decode(text) == timeout) }

  @Test(arguments: ["", "1", "S", "-1S", "1 S", "123456789S", "1s", "1.5S", "٣S"])
  func badTimeouts(_ text: String) { #expect(GRPCTimeout.decode(text) == nil) }

  @Test(arguments: [
    ("plain", "plain"), ("100%", "100%25"), ("a\nb", "a%0Ab"), ("größer", "gr%C3%B6%C3%9Fer"), ("", ""),
  ])
  func statusMessages(_ text: String, _ encoded: String) {
    #expect(StatusMessage.encode(text) == encoded)
    #expect(StatusMessage.decode(encoded) == text)
  }

  @Test(arguments: [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("a%", "a%"), ("%ff", "\u{FFFD}"), ("%41%", "A%")])
  func brokenEscapesStandForThemselves(_ encoded: String, _ text: String) {
    #expect(StatusMessage.decode(encoded) == text)
  }

  @Test func longStatusMessagesAreCutBetweenCharacters() {
    let encoded = StatusMessage.encode(String(repeating: "ö", count: 5000))
    #expect(encoded.utf8.count <= StatusMessage.maxEncodedLength)
    #expect(StatusMessage.decode(encoded).allSatisfy { $0 == "ö" })
    #expect(StatusMessage.encode(String(repeating: "a", count: 5000)).utf8.count == StatusMessage.maxEncodedLength)
  }

  @Test func base64WithAndWithoutPadding() {
    var random = SeededRandom(seed: 2)
    for length in 0..<50 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      let text = Base64.encode(bytes)
      #expect(!text.contains("="))
      #expect(Base64.decode(text) == bytes)
      #expect(Base64.decode(text + String(repeating: "=", count: (4 - text.count % 4) % 4)) == bytes)
    }
    #expect(Base64.decode("a") == nil)
    #expect(Base64.decode("a b=") == nil)
  }

  @Test func metadataRoundTrip() {
    let metadata: Metadata = ["a": "b", "A": "c", "n-bin": .binary([1, 2]), "grpc-timeout": "1S"]
    var fields: [HeaderField] = []
    #expect(MetadataFields.append(metadata, to: &fields) == 0)
    #expect(fields == [.init("a", "b"), .init("a", "c"), .init("n-bin", "AQI"), .init("grpc-timeout", "1S")])
    fields += [.init(":path", "/"), .init("content-type", "x"), .init("m-bin", "AQI,AQ==,%")]
    let back = MetadataFields.metadata(from: fields)
    #expect(Array(back[binaryValues: "m-bin"]) == [[1, 2], [1]])
    #expect(Array(back[stringValues: "a"]) == ["b", "c"])
    #expect(Array(back[stringValues: ":path"]).isEmpty)
  }

  @Test func requestHead() throws {
    let head = try RequestHead(Self.request + [.init("grpc-timeout", "2S"), .init("x", "y")])
    #expect(head.service == "a.B")
    #expect(head.method == "C")
    #expect(head.timeout == .seconds(2))
    #expect(head.metadata == ["x": "y"])
  }

  @Test(arguments: [
    (":method", "GET", ":status", "405"), ("content-type", "application/json", ":status", "415"),
    ("content-type", "application/grpcx", ":status", "415"), ("grpc-encoding", "gzip", "grpc-status", "12"),
    (":path", "/a", "grpc-status", "12"), (":path", "//b", "grpc-status", "12"), (":path", "", "grpc-status", "12"),
    ("grpc-timeout", "soon", "grpc-status", "13"),
  ])
  func refusedRequests(_ name: String, _ value: String, _ answer: String, _ expected: String) {
    let fields = Self.request.filter { $0.name != name } + [.init(name, value)]
    let error = #expect(throws: RequestHead.Refusal.self) { try RequestHead(fields) }
    #expect(error?.fields.first(answer) == expected)
  }
}
