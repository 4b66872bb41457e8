import Common
import Foundation
import NIOCore
import Testing

@testable import Streaming

@Suite struct StateTests {
  private let request = SessionRequest.portForward(PortForwardSessionRequest(pod: pod, ports: [80]))

  @Test func tokensWorkOnceAndExpire() throws {
    let tokens = TokenStore(lifetime: .seconds(60), capacity: 2)
    let now = ContinuousClock.now
    let first = try tokens.insert(request, now: now)
    #expect(first.utf8.count == 32)
    let second = try tokens.insert(request, now: now)
    #expect(first != second)
    #expect(throws: BulkheadError.self) { try tokens.insert(request, now: now) }
    #expect(tokens.consume(first, now: now) == request)
    #expect(tokens.consume(first, now: now) == nil)
    _ = try tokens.insert(request, now: now + .seconds(1))
    #expect(tokens.consume(second, now: now + .seconds(60)) == nil)
  }

  @Test func fullStoreSaysSo() throws {
    let tokens = TokenStore(lifetime: .seconds(60), capacity: 1000)
    for _ in 0..<1000 { _ = try tokens.insert(request) }
    let error = #expect(throws: BulkheadError.self) { try tokens.insert(request) }
    #expect(error?.code == .resourceExhausted)
    _ = try tokens.insert(request, now: .now + .seconds(61))
  }

  @Test func terminalSizesInAnyPieces() throws {
    let text = Array(#"{"Width":80,"Height":24}{"Width":132,"Height":43}"#.utf8)
    for cut in 0...text.count {
      var decoder = ResizeDecoder()
      let sizes = (decoder.decode(text[..<cut]) ?? []) + (decoder.decode(text[cut...]) ?? [])
      #expect(sizes == [TerminalSize(columns: 80, rows: 24), TerminalSize(columns: 132, rows: 43)])
    }
    var decoder = ResizeDecoder()
    #expect(decoder.decode(Array(#"{"Width":70000,"Height":1}"#.utf8)) == nil)
    #expect(decoder.decode([UInt8](repeating: 32, count: 5000)) == nil)
  }

  @Test func statuses() throws {
    func json(_ status: CommandStatus) throws -> NSDictionary {
      try #require(try JSONSerialization.jsonObject(with: status.encoded(asStatus: true)) as? NSDictionary)
    }
    #expect(try json(.success) == ["metadata": [:] as NSDictionary, "status": "Success"])
    #expect(
      try json(.exited(code: 3)) == [
        "metadata": [:] as NSDictionary, "status": "Failure", "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code: 3",
        "details": ["causes": [["reason": "ExitCode", "message": "3"]]],
      ])
    #expect(try json(.failed("why"))["code"] as? Int == 500)
    #expect(try CommandStatus.success.encoded(asStatus: false).isEmpty)
  }

  @Test func halvesPairInAnyOrder() throws {
    var pairs = StreamPairs<Int>()
    func request(_ kind: StreamPairs<Int>.Kind, _ port: UInt16, _ id: String) -> StreamPairs<Int>.Request {
      .init(kind: kind, port: port, connection: id)
    }
    guard case .waiting = pairs.add(request(.data, 80, "a"), 1),
      case .waiting = pairs.add(request(.error, 80, "b"), 3),
      case .refused = pairs.add(request(.data, 80, "a"), 5),
      case .refused = pairs.add(request(.error, 81, "a"), 7),
      case .complete(let pair) = pairs.add(request(.error, 80, "a"), 9)
    else {
      Issue.record("not as expected")
      return
    }
    #expect(pair.data == 1 && pair.error == 9 && pair.port == 80)
    #expect(pairs.expire("a") == nil)
    #expect(pairs.expire("b")?.stream == 3)
  }

  @Test(arguments: ["0", "65536", "70000", "-1", "http", "", "99999999999999999999"])
  func portsOutOfRange(port: String) {
    let error = #expect(throws: BulkheadError.self) {
      try StreamPairs<Int>.Request(headers: HeaderBlock(["streamtype": "data", "port": port]), stream: 1)
    }
    #expect(error?.message.contains("1 to 65535") == true)
  }

  @Test func clientsWithoutRequestIDs() throws {
    let error = try StreamPairs<Int>.Request(headers: HeaderBlock(["streamtype": "error", "port": "80"]), stream: 5)
    let data = try StreamPairs<Int>.Request(headers: HeaderBlock(["streamtype": "data", "port": "80"]), stream: 7)
    #expect(error.connection == data.connection)
  }

  @Test func aPipeHoldsNoMoreThanItsBudget() async throws {
    let budget = InputBudget(limit: 100)
    let pipe = InputPipe(budget: budget)
    pipe.push(ByteBuffer(bytes: [UInt8](repeating: 1, count: 150)))
    let isFull = await !within(.milliseconds(50)) { await budget.waitForRoom() }
    #expect(isFull)
    #expect(try await pipe.next()?.readableBytes == 150)
    await budget.waitForRoom()
    pipe.end()
    #expect(try await pipe.next() == nil)
    pipe.push(ByteBuffer(bytes: [1]))
    #expect(budget.used == 0)
  }
}
