import Common
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Images

/// Servers that do not speak HTTP as they should.
@Suite(.timeLimit(.minutes(2))) struct HostileAnswerTests {
  /// A head, and what is sent after it for as long as the client listens.
  struct Hostile: CustomTestStringConvertible, Sendable {
    var name: String
    var start: String
    var forever = ""
    var testDescription: String { name }
  }

  static let all: [Hostile] = [
    .init(name: "headers without end", start: "HTTP/1.1 200 OK\r\n", forever: "x: y\r\n"),
    .init(name: "empty headers without end", start: "HTTP/1.1 200 OK\r\n", forever: ":\r\n"),
    .init(name: "a header line without end", start: "HTTP/1.1 200 OK\r\nx: ", forever: "yyyyyyyyyyyyyyyy"),
    .init(name: "a status line without end", start: "HTTP/1.1 200 ", forever: "OKOKOKOKOKOKOKOK"),
    .init(name: "interim answers without end", start: "", forever: "HTTP/1.1 100 Continue\r\n\r\n"),
    .init(name: "HTTP/0.9", start: "hello, this is a body\n", forever: "and more of it\n"),
    .init(name: "no protocol at all", start: "\u{0}\u{1}\u{2}\r\n\r\n", forever: "\u{0}"),
    .init(name: "a negative length", start: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx"),
    .init(name: "a length that is a word", start: "HTTP/1.1 200 OK\r\nContent-Length: much\r\n\r\nx"),
    .init(name: "a length beyond all", start: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx"),
    .init(
      name: "two lengths", start: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
    .init(
      name: "a length and chunks",
      start: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    .init(
      name: "a bomb that nobody asked for",
      start: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    .init(name: "a header without a name", start: "HTTP/1.1 200 OK\r\n: x\r\n\r\n"),
    .init(name: "a header of two lines", start: "HTTP/1.1 200 OK\r\nx: y\r\n z: 1\r\n\r\n"),
    .init(name: "a chunk of no size", start: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n"),
    .init(
      name: "a chunk beyond all",
      start: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n"),
    .init(
      name: "trailers without end", start: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
      forever: "x: y\r\n"),
    .init(name: "nothing", start: ""),
  ]

  @Test(arguments: all) func isRefused(_ hostile: Hostile) async throws {
    let sent = Mutex(0)
    let server = try WireServer { wire in
      guard wire.request() != nil else { return }
      wire.send(hostile.start)
      guard !hostile.forever.isEmpty else { return }
      let piece = Array(String(repeating: hostile.forever, count: 256).utf8)
      while wire.send(piece) { sent.withLock { $0 += piece.count } }
    }
    try await withHTTP(.init(idleRead: .seconds(30), answer: .seconds(30))) { http in
      let started = ContinuousClock.now
      let failure = await registryFailure {
        let answer = try await get("/", from: server.authority, by: http)
        _ = try await answer.body.collect(upTo: 1 << 20)
      }
      #expect(failure != nil)
      // For what it is, not because it took too long.
      #expect(ContinuousClock.now - started < .seconds(25))
    }
    // What was underway when the client had seen enough: the sockets' buffers.
    #expect(sent.withLock(\.self) < 16 << 20)
  }

  @Test func lengthsThatAgreeAndFewHeadersAreTaken() async throws {
    let server = try WireServer { wire in
      guard wire.request() != nil else { return }
      wire.send(
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200\r\nCONTENT-LENGTH: 2\r\nContent-Length: 2\r\nA:\r\n"
          + String(repeating: "b:\t c \r\n", count: 200) + "\r\nok")
    }
    try await withHTTP { http in
      let answer = try await get("/", from: server.authority, by: http)
      #expect(answer.status == 200)
      #expect(answer.head["content-length"] == ["2", "2"])
      #expect(answer.head.first("a") == "")
      #expect(answer.head["B"] == Array(repeating: "c", count: 200))
      #expect(answer.head["link"].isEmpty)
      #expect(try await answer.body.collect(upTo: 2) == Array("ok".utf8))
    }
  }

  /// Random damage to a head, with a fixed seed: it is taken or refused, and what is taken keeps the rules.
  @Test func damagedHeads() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\nx: \u{e9}\r\n\r\n"
    let bytes = Array(head.utf8)
    var random = SeededRandom(seed: 5)
    for round in 0..<20_000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let position = Int.random(in: 0..<damaged.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: damaged[position] = .random(in: 0...255, using: &random)
        case 1: damaged.removeSubrange(position..<min(position + 7, damaged.count))
        default: damaged.insert(contentsOf: bytes[position % bytes.count..<bytes.count], at: position)
        }
        if damaged.isEmpty { damaged = bytes }
      }
      var reader = HTTPHeadReader()
      for line in damaged.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
        do {
          guard let head = try (line + [0x0a]).withUnsafeBytes({ try reader.take($0) }) else { continue }
          #expect((200...999).contains(head.status), "round \(round)")
          #expect(head["content-length"].isEmpty || head["transfer-encoding"].isEmpty, "round \(round)")
          #expect(head["content-length"].allSatisfy { UInt64($0) != nil }, "round \(round)")
        } catch {
          break
        }
      }
    }
  }
}
