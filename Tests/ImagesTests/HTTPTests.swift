import Common
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Images

/// The HTTP client with servers that are slow, silent or in the way.
@Suite(.timeLimit(.minutes(2))) struct HTTPTests {
  private static let endless = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n"

  @Test func aBodyThatNobodyReadsStaysOutsideAndHoldsNobodyUp() async throws {
    let sent = Mutex(0)
    let piece = [UInt8](repeating: 7, count: 64 << 10)
    let server = try WireServer { wire in
      guard let request = wire.request() else { return }
      if request.hasPrefix("GET /silent ") {
        wire.send(Self.endless)
        return wire.awaitEnd()
      }
      guard request.hasPrefix("GET /endless ") else {
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nsmall")
        return
      }
      wire.send(Self.endless)
      while wire.send(piece) { sent.withLock { $0 += piece.count } }
    }
    try await withHTTP(.init(idleRead: .seconds(1))) { http in
      let endless = try await get("/endless", from: server.authority, by: http)
      try await eventually("we hold what we may") { sent.withLock(\.self) > 2 * HTTPTransfer.capacity }
      // That nobody reads is not the server's silence: one that falls silent later is given up, and this one is not.
      let silent = try await get("/silent", from: server.authority, by: http)
      #expect(await registryFailure { try await silent.body.next() }?.isTransient == true)
      // What the kernel holds of a connection, and what we do.
      #expect(sent.withLock(\.self) < 16 << 20)
      let small = try await get("/small", from: server.authority, by: http)
      #expect(try await small.body.collect(upTo: 5) == Array("small".utf8))
      var read = 0
      while read < 64 << 20 {
        let bytes = try #require(try await endless.body.next())
        #expect(bytes.count <= HTTPTransfer.capacity)
        #expect(bytes.allSatisfy { $0 == 7 })
        read += bytes.count
      }
    }
  }

  @Test(arguments: ["", endless, endless + "the body's beginning"])
  func aCancelledTaskEndsItsConnectionAtOnce(_ answer: String) async throws {
    let (asked, ended) = (Latch(), Latch())
    let server = try WireServer { wire in
      guard wire.request() != nil else { return }
      wire.send(answer)
      asked.open()
      wire.awaitEnd()
      ended.open()
    }
    try await withHTTP { http in
      let there = Latch()
      let beginning = answer.utf8.count - Self.endless.utf8.count
      let task = Task {
        let answer = try await get("/", from: server.authority, by: http)
        var read = 0
        while true {
          if read == beginning { there.open() }
          guard let bytes = try await answer.body.next() else { return }
          read += bytes.count
        }
      }
      await asked.wait()
      if beginning >= 0 { await there.wait() }
      task.cancel()
      await #expect(throws: CancellationError.self) { try await task.value }
      // The others of the pull go on meanwhile.
      await ended.wait()
    }
  }

  @Test func anAnswerThatIsDroppedEndsItsConnection() async throws {
    let ended = Latch()
    let server = try WireServer { wire in
      guard wire.request() != nil else { return }
      wire.send(Self.endless)
      wire.awaitEnd()
      ended.open()
    }
    try await withHTTP { http in
      let status = try await get("/", from: server.authority, by: http).status
      #expect(status == 200)
      await ended.wait()
    }
  }

  @Test func theEndOfThePullEndsEveryTransfer() async throws {
    let (asked, ended) = (Latch(), Latch())
    let silent = try WireServer { wire in
      guard wire.request() != nil else { return }
      asked.open()
      wire.awaitEnd()
    }
    let talking = try WireServer { wire in
      guard wire.request() != nil else { return }
      wire.send(Self.endless)
      wire.awaitEnd()
      ended.open()
    }
    let (head, body) = try await withHTTP { http in
      let head = Task { _ = try await get("/", from: silent.authority, by: http) }
      let answer = try await get("/", from: talking.authority, by: http)
      let body = Task { _ = try await answer.body.next() }
      await asked.wait()
      return (head, body)
    }
    await ended.wait()
    await #expect(throws: CancellationError.self) { try await head.value }
    await #expect(throws: CancellationError.self) { try await body.value }
  }

  @Test func aSlowBodyIsReadAndASilentOneGivenUp() async throws {
    let server = try WireServer { wire in
      guard wire.request() != nil else { return }
      wire.send("HTTP/1.1 200 OK\r\n\r\n")
      for _ in 0..<8 {
        // Slow, and in all longer than the silence that is allowed: the server's time is what is tested.
        usleep(250_000)
        wire.send("x")
      }
      wire.awaitEnd()
    }
    try await withHTTP(.init(idleRead: .milliseconds(1500))) { http in
      let answer = try await get("/", from: server.authority, by: http)
      var read = 0
      let failure = await registryFailure {
        while let bytes = try await answer.body.next() { read += bytes.count }
      }
      #expect(read == 8)
      guard case .connection = failure else { throw BulkheadError(.internalError, "\(String(describing: failure))") }
      #expect(failure?.explained("x").description.contains("sent nothing for 1.5 seconds") == true)
    }
  }

  @Test func aHeadThatNeverEndsIsGivenUp() async throws {
    let server = try WireServer { wire in
      guard wire.request() != nil else { return }
      wire.send("HTTP/1.1 200 OK\r\n")
      // Slow enough that the time ends it, not the number of lines.
      while wire.send("x: y\r\n") { usleep(100_000) }
    }
    try await withHTTP(.init(answer: .seconds(1))) { http in
      let failure = await registryFailure { try await get("/", from: server.authority, by: http) }
      #expect(failure?.isTransient == true)
      #expect(failure?.explained("x").description.contains("did not answer in 1.0 seconds") == true)
    }
  }

  @Test func requestsShareTheirConnections() async throws {
    let connections = Mutex(0)
    let server = try WireServer { wire in
      connections.withLock { $0 += 1 }
      while wire.request() != nil { wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") }
    }
    try await withHTTP { http in
      for _ in 0..<5 {
        let answer = try await get("/", from: server.authority, by: http)
        #expect(try await answer.body.collect(upTo: 2) == Array("ok".utf8))
      }
    }
    #expect(connections.withLock(\.self) == 1)
  }

  @Test func manyTransfersAtOnceAreEachWhole() async throws {
    let image = Data.noise(3_000_000, seed: 11)
    let server = try WireServer { wire in
      while wire.request() != nil {
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        var rest = image[...]
        while !rest.isEmpty {
          let piece = rest.prefix(77_777)
          wire.send("\(String(piece.count, radix: 16))\r\n")
          wire.send(piece)
          wire.send("\r\n")
          rest = rest.dropFirst(piece.count)
        }
        wire.send("0\r\nx-trailer: 1\r\n\r\n")
      }
    }
    try await withHTTP { http in
      // Half of them stop reading after their first piece until another has all of its own.
      let oneIsWhole = Latch()
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for number in 0..<8 {
          group.addTask {
            let answer = try await get("/", from: server.authority, by: http)
            var all: [UInt8] = []
            while let bytes = try await answer.body.next() {
              all += bytes
              if number % 2 == 0 { await oneIsWhole.wait() }
            }
            oneIsWhole.open()
            return Data(all) == image
          }
        }
        for try await isWhole in group { #expect(isWhole) }
      }
    }
  }

  @Test func whatIsTooLongIsRefusedBeforeItIsRead() async throws {
    let server = try WireServer { wire in
      guard wire.request() != nil else { return }
      wire.send("HTTP/1.1 200 OK\r\n\r\n")
      while wire.send([UInt8](repeating: 1, count: 1 << 16)) {}
    }
    try await withHTTP { http in
      let answer = try await get("/", from: server.authority, by: http)
      guard case .content = await registryFailure({ try await answer.body.collect(upTo: 1 << 20) }) else {
        throw BulkheadError(.internalError, "not refused for its content")
      }
    }
  }

  @Test func sendsNothingThatIsNotOneHeader() throws {
    var request = try HTTPRequest(try #require(URLComponents(string: "http://user:password@host.test:81/a/../b?c#d")))
    #expect(request.url == "http://host.test:81/a/../b?c")
    for (name, value) in [("x", "a\r\nb: c"), ("x", "a\nb"), ("x", "\u{0}"), ("x y", ""), ("", "a"), ("x:", "a")] {
      #expect(throws: BulkheadError.self) { try request.add(name, value) }
    }
    for url in ["http:///a", "ftp://host.test/", "http://ho%0ast.test/", "http://host.test%00.evil.test/"] {
      #expect(throws: BulkheadError.self) { _ = try HTTPRequest(URLComponents(string: url) ?? URLComponents()) }
    }
  }
}
