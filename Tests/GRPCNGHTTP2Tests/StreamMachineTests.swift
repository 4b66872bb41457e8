import GRPCCore
import TestSupport
import Testing

@testable import GRPCNGHTTP2

/// The protocol alone: no sockets, no threads, no HTTP/2.
struct StreamMachineTests {
  typealias Server = ServerStreamMachine
  typealias Client = ClientStreamMachine

  static let ok = Status(code: .ok, message: "")
  static let head = [HeaderField(":status", "200"), HeaderField("content-type", "application/grpc")]

  private func server() -> Server { Server(maxReceiveSize: 100, maxSendSize: 100) }

  private func client(started: Bool = true) throws -> Client {
    var client = Client(path: "/s/m", authority: "a", maxReceiveSize: 100, maxSendSize: 100)
    if started { _ = try client.send(.metadata([:])) }
    return client
  }

  /// Everything that `bytes` lead to.
  private func feed<Machine: StreamMachine>(_ machine: inout Machine, _ bytes: [UInt8])
    -> [StreamReaction<Machine.InboundPart>]
  {
    bytes.withUnsafeBytes { buffer in
      var rest = buffer
      var reactions: [StreamReaction<Machine.InboundPart>] = []
      while true {
        let reaction = machine.receive(chunk: &rest)
        if case .nothing = reaction { return reactions }
        reactions.append(reaction)
        guard case .deliver = reaction else { return reactions }
      }
    }
  }

  // MARK: - Server

  @Test func serverAnswersInOrder() throws {
    var machine = server()
    #expect(try machine.send(.metadata(["a": "b"])) == .headers(Self.head + [.init("a", "b")], endStream: false))
    #expect(try machine.send(.message([1])) == .message([1]))
    #expect(try machine.send(.status(Self.ok, ["c": "d"])) == .trailers([.init("grpc-status", "0"), .init("c", "d")]))
    #expect(throws: RPCError.self) { try machine.send(.message([2])) }
    let end = machine.finishSending()
    #expect(end == nil)
  }

  @Test func serverAnswersWithTrailersOnly() throws {
    var machine = server()
    let status = Status(code: .notFound, message: "nö")
    let fields = Self.head + [.init("grpc-status", "5"), .init("grpc-message", "n%C3%B6")]
    #expect(try machine.send(.status(status, [:])) == .headers(fields, endStream: true))
  }

  @Test func serverRejectsItsOwnHandlersMistakes() throws {
    var machine = server()
    #expect(throws: RPCError.self) { try machine.send(.message([1])) }
    _ = try machine.send(.metadata([:]))
    #expect(throws: RPCError.self) { try machine.send(.metadata([:])) }
    #expect(throws: RPCError.self) { try machine.send(.message([UInt8](repeating: 0, count: 101))) }
    guard case .trailers(let fields)? = machine.finishSending() else { throw RPCError.ended }
    #expect(fields.first("grpc-status") == "2")
  }

  @Test func serverReadsMessagesInAnyPieces() throws {
    let bytes: [UInt8] = [0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9]
    for size in 1...bytes.count {
      var machine = server()
      var messages: [[UInt8]] = []
      for start in stride(from: 0, to: bytes.count, by: size) {
        for case .deliver(.message(let message)) in feed(&machine, Array(bytes[start..<min(start + size, bytes.count)]))
        {
          messages.append(message)
        }
      }
      #expect(messages == [[7, 8], [], [9]])
      guard case .deliverLast(nil) = machine.receiveEnd() else { throw RPCError.ended }
    }
  }

  @Test(arguments: [
    ([0, 0, 0, 0, 101], RPCError.Code.resourceExhausted), ([0, 255, 255, 255, 255], .resourceExhausted),
    ([1, 0, 0, 0, 1], .unimplemented), ([2, 0, 0, 0, 1], .internalError),
  ])
  func serverRefusesBadMessages(_ bytes: [UInt8], _ code: RPCError.Code) throws {
    var machine = server()
    guard case .refuse(let error, .headers(let fields, endStream: true)) = feed(&machine, bytes).last else {
      throw RPCError.ended
    }
    #expect(error.code == code)
    #expect(fields.first("grpc-status") == String(Status.Code(code).rawValue))
    #expect(feed(&machine, [0, 0, 0, 0, 0]).isEmpty, "what follows is ignored")
    #expect(throws: RPCError.self) { try machine.send(.status(Self.ok, [:])) }
  }

  @Test func serverRefusesHalfAMessage() throws {
    var machine = server()
    _ = try machine.send(.metadata([:]))
    #expect(feed(&machine, [0, 0, 0, 0, 2, 1]).isEmpty)
    guard case .refuse(let error, .trailers) = machine.receiveEnd() else { throw RPCError.ended }
    #expect(error.code == .internalError)
  }

  @Test func serverEndsOnceOnly() throws {
    var machine = server()
    guard case .fail(let error) = machine.receiveClose(code: 8) else { throw RPCError.ended }
    #expect(error.code == .cancelled)
    guard case .nothing = machine.connectionLost("x"), case .nothing = machine.receiveEnd(),
      case .nothing = machine.deadlinePassed(canAnswer: true)
    else { throw RPCError.ended }
    let wasOpen = machine.abandon()
    #expect(!wasOpen)
  }

  @Test func serversDeadline() throws {
    var blocked = server()
    guard case .fail = blocked.deadlinePassed(canAnswer: false) else { throw RPCError.ended }
    var free = server()
    guard case .refuse(_, .headers(let fields, endStream: true)) = free.deadlinePassed(canAnswer: true) else {
      throw RPCError.ended
    }
    #expect(fields.first("grpc-status") == "4")
  }

  // MARK: - Client

  @Test func clientAsksInOrder() throws {
    var machine = try client(started: false)
    #expect(throws: RPCError.self) { try machine.send(.message([1])) }
    guard case .headers(let fields, endStream: false) = try machine.send(.metadata(["grpc-timeout": "5S"])) else {
      throw RPCError.ended
    }
    #expect(fields.first(":path") == "/s/m")
    #expect(fields.first("te") == "trailers")
    #expect(fields.first("grpc-timeout") == "5S")
    #expect(throws: RPCError.self) { try machine.send(.metadata([:])) }
    #expect(try machine.send(.message([1])) == .message([1]))
    let ends = (machine.finishSending(), machine.finishSending())
    #expect(ends == (.end, nil))
    #expect(throws: RPCError.self) { try machine.send(.message([1])) }
  }

  @Test func clientReadsAnAnswer() throws {
    var machine = try client()
    guard
      case .deliver(.metadata(let metadata)) = machine.receive(headers: Self.head + [.init("a", "b")], endStream: false)
    else { throw RPCError.ended }
    #expect(metadata == ["a": "b"])
    guard case .deliver(.message([5]))? = feed(&machine, [0, 0, 0, 0, 1, 5]).first else { throw RPCError.ended }
    let trailers = [HeaderField("grpc-status", "5"), HeaderField("grpc-message", "n%C3%B6"), HeaderField("x", "y")]
    guard case .deliverLast(.status(let status, let end)?) = machine.receive(headers: trailers, endStream: true) else {
      throw RPCError.ended
    }
    #expect(status == Status(code: .notFound, message: "nö"))
    #expect(end == ["x": "y"])
    guard case .nothing = machine.receiveClose(code: 0) else { throw RPCError.ended }
  }

  @Test func clientIgnoresInformationalHeaders() throws {
    var machine = try client()
    guard case .nothing = machine.receive(headers: [.init(":status", "103")], endStream: false),
      case .deliver(.metadata) = machine.receive(headers: Self.head, endStream: false)
    else { throw RPCError.ended }
  }

  @Test(arguments: [
    ([HeaderField(":status", "404")], RPCError.Code.unimplemented), ([.init(":status", "503")], .unavailable),
    ([.init(":status", "200"), .init("content-type", "text/html")], .unknown),
    (head + [.init("grpc-encoding", "gzip")], .internalError),
  ])
  func clientRefusesAnswersThatAreNotGRPC(_ fields: [HeaderField], _ code: RPCError.Code) throws {
    var machine = try client()
    guard case .fail(let error) = machine.receive(headers: fields, endStream: false) else { throw RPCError.ended }
    #expect(error.code == code)
  }

  @Test func clientNeedsAStatus() throws {
    var machine = try client()
    _ = machine.receive(headers: Self.head, endStream: false)
    guard case .fail(let error) = machine.receive(headers: [.init("x", "y")], endStream: true) else {
      throw RPCError.ended
    }
    #expect(error.code == .unknown)
    var other = try client()
    _ = other.receive(headers: Self.head, endStream: false)
    guard case .fail = other.receiveEnd() else { throw RPCError.ended }
  }

  @Test(arguments: [
    (UInt32(0), RPCError.Code.internalError), (7, .unavailable), (8, .cancelled), (11, .resourceExhausted),
    (12, .permissionDenied), (99, .internalError),
  ])
  func clientTranslatesResets(_ http2: UInt32, _ code: RPCError.Code) throws {
    var machine = try client()
    guard case .fail(let error) = machine.receiveClose(code: http2) else { throw RPCError.ended }
    #expect(error.code == code)
  }

  /// Whatever the order of events, a stream ends once and never traps.
  @Test func randomEventsEndAStreamOnce() throws {
    var random = SeededRandom(seed: 1)
    for _ in 0..<2000 {
      var machine = try client(started: Bool.random(using: &random))
      var ends = 0
      for _ in 0..<30 {
        let headers = [Self.head, [.init("grpc-status", "0")], [.init(":status", "100")], []].randomElement(
          using: &random)
        var reactions: [StreamReaction<RPCResponsePart<[UInt8]>>] = []
        switch Int.random(in: 0..<8, using: &random) {
        case 0: _ = try? machine.send(.metadata([:]))
        case 1: _ = try? machine.send(.message([1]))
        case 2: _ = machine.finishSending()
        case 3, 4: reactions = [machine.receive(headers: headers ?? [], endStream: .random(using: &random))]
        case 5: reactions = feed(&machine, (0..<12).map { _ in UInt8.random(in: 0...2, using: &random) })
        case 6: reactions = [machine.receiveEnd()]
        default: reactions = [machine.receiveClose(code: .random(in: 0...13, using: &random))]
        }
        for reaction in reactions {
          switch reaction {
          case .nothing: break
          case .deliver: #expect(ends == 0)
          case .deliverLast, .fail, .refuse: ends += 1
          }
        }
      }
      #expect(ends <= 1)
    }
  }
}
