import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// An HTTP server whose answers a test writes: honest ones, and the lies and breaks that a real registry would not
/// produce on demand.
final class ScriptedServer: Sendable {
  struct Request: Sendable {
    let method: HTTPMethod
    /// The path as a server is asked, the whole URL as a proxy is.
    var target = ""
    let path: String
    let query: [String: String]
    let headers: HTTPHeaders
    let body: Data
  }

  struct Answer: Sendable {
    var status = HTTPResponseStatus.ok
    var headers: [(String, String)] = []
    var body = Data()
    /// Close the connection after so many bytes of the body.
    var breaksAfter: Int?
    /// Wait before each piece of the body.
    var delay: TimeAmount?
    /// No answer at all.
    var isSilent = false

    static let notFound = Answer(status: .notFound)
  }

  let port: Int
  private let channel: any Channel
  private let log: Log

  final class Log: Sendable {
    private let requests = Mutex<[Request]>([])
    private let sent = Mutex(0)
    func add(_ request: Request) { requests.withLock { $0.append(request) } }
    func add(bytes: Int) { sent.withLock { $0 += bytes } }
    var all: [Request] { requests.withLock(\.self) }
    var bytes: Int { sent.withLock(\.self) }
  }

  /// Every request so far.
  var requests: [Request] { log.all }
  /// Bytes of bodies sent so far.
  var bytesSent: Int { log.bytes }
  var authority: String { "127.0.0.1:\(port)" }

  init(_ answer: @escaping @Sendable (Request) -> Answer) async throws {
    let log = Log()
    self.log = log
    channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.configureHTTPServerPipeline()
          try pipeline.addHandler(Handler(log: log, answer: answer))
        }
      }.bind(host: "127.0.0.1", port: 0).get()
    port = channel.localAddress?.port ?? 0
  }

  func close() async throws { try await channel.close() }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let log: Log
    private let answer: @Sendable (Request) -> Answer
    private var head: HTTPRequestHead?
    private var body = Data()

    init(log: Log, answer: @escaping @Sendable (Request) -> Answer) {
      self.log = log
      self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head): (self.head, body) = (head, Data())
      case .body(let bytes): body.append(contentsOf: bytes.readableBytesView)
      case .end:
        guard let head, let url = URLComponents(string: head.uri) else { return context.close(promise: nil) }
        let query = Dictionary(
          (url.queryItems ?? []).map { ($0.name, $0.value ?? "") }, uniquingKeysWith: { $1 })
        let request = Request(
          method: head.method, target: head.uri, path: url.path, query: query, headers: head.headers, body: body)
        log.add(request)
        send(answer(request), context)
      }
    }

    private func send(_ answer: Answer, _ context: ChannelHandlerContext) {
      guard !answer.isSilent else { return }
      var headers = HTTPHeaders(answer.headers)
      if !headers.contains(name: "content-length") {
        headers.add(name: "content-length", value: "\(answer.body.count)")
      }
      let head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      let body = answer.breaksAfter.map { answer.body.prefix($0) } ?? answer.body
      sendPieces(of: body, answer, context)
    }

    private func sendPieces(of body: Data, _ answer: Answer, _ context: ChannelHandlerContext) {
      guard let delay = answer.delay, !body.isEmpty else {
        write(body, context)
        return end(answer, context)
      }
      write(body.prefix(64 << 10), context)
      context.flush()
      let rest = Data(body.dropFirst(64 << 10))
      context.eventLoop.assumeIsolated().scheduleTask(in: delay) { self.sendPieces(of: rest, answer, context) }
    }

    private func write(_ bytes: Data, _ context: ChannelHandlerContext) {
      log.add(bytes: bytes.count)
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil)
    }

    private func end(_ answer: Answer, _ context: ChannelHandlerContext) {
      if answer.breaksAfter != nil {
        context.flush()
        context.close(promise: nil)
      } else {
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      }
    }
  }
}
