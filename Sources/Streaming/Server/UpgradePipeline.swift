import NIOCore
import NIOHTTP1
import Synchronization

/// A connection after its HTTP request.
struct UpgradedConnection: Sendable {
  var session: AdmittedSession
  var slot: SessionSlot
  var channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>
}

/// Sets up a new connection to read one HTTP request and to be upgraded, or to be told why not.
enum UpgradePipeline {
  /// The future gives nil where the request was refused; the connection closes by itself then. It fails
  /// where there was no request.
  static func configure(
    _ channel: any Channel, admission: Admission
  ) throws -> EventLoopFuture<UpgradedConnection?> {
    let handshake = Handshake(admission: admission)
    let last = RefusalHandler(handshake: handshake)
    let lastBox = NIOLoopBound(last, eventLoop: channel.eventLoop)
    let upgraders: [any NIOTypedHTTPServerProtocolUpgrader<UpgradedConnection?>] = ["SPDY/3.1", "websocket"].map {
      Upgrader(supportedProtocol: $0, handshake: handshake, last: lastBox)
    }
    var configuration = NIOUpgradableHTTPServerPipelineConfiguration<UpgradedConnection?>(
      upgradeConfiguration: .init(upgraders: upgraders) { $0.eventLoop.makeSucceededFuture(nil) })
    configuration.enablePipelining = false
    configuration.decoderConfiguration.maxHeaderFieldSize = 8 << 10
    configuration.decoderConfiguration.maxHeaderListSize = 16 << 10
    configuration.decoderConfiguration.maxHeaderFieldCount = 64
    let upgraded = try channel.pipeline.syncOperations.configureUpgradableHTTPServerPipeline(
      configuration: configuration)
    try channel.pipeline.syncOperations.addHandler(last)
    return upgraded
  }
}

/// What became of a connection's one request.
private final class Handshake: Sendable {
  private enum State {
    case none
    case admitted(AdmittedSession, SessionSlot)
    case refused(Refusal)
  }

  private let admission: Admission
  private let state = Mutex(State.none)

  init(admission: Admission) { self.admission = admission }

  /// What was admitted, for its one user.
  func take() -> (AdmittedSession, SessionSlot)? {
    state.withLock { state in
      guard case .admitted(let session, let slot) = state else { return nil }
      state = .none
      return (session, slot)
    }
  }

  func admit(_ head: HTTPRequestHead) throws(Refusal) -> [(String, String)] {
    do {
      let admitted = try admission.admit(head)
      state.withLock { $0 = .admitted(admitted.session, admitted.slot) }
      return admitted.headers
    } catch {
      state.withLock { $0 = .refused(error) }
      throw error
    }
  }

  /// Why the request was refused: as an upgrade, or because it asks for none that is known here.
  func refusal(_ head: HTTPRequestHead?) -> Refusal {
    if case .refused(let refusal) = state.withLock({ $0 }) { return refusal }
    guard let head else { return Admission.notUpgrade }
    do throws(Refusal) {
      _ = try admission.admit(head)
      return Refusal(status: .badRequest, message: "the upgrade failed")
    } catch { return error }
  }
}

private struct Upgrader: NIOTypedHTTPServerProtocolUpgrader {
  let supportedProtocol: String
  let requiredUpgradeHeaders: [String] = []
  let handshake: Handshake
  let last: NIOLoopBound<RefusalHandler>

  func buildUpgradeResponse(
    channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
  ) -> EventLoopFuture<HTTPHeaders> {
    channel.eventLoop.makeCompletedFuture {
      var headers = initialResponseHeaders
      for (name, value) in try handshake.admit(upgradeRequest) { headers.replaceOrAdd(name: name, value: value) }
      return headers
    }
  }

  func upgrade(channel: any Channel, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<UpgradedConnection?> {
    channel.eventLoop.makeCompletedFuture {
      guard let (session, slot) = handshake.take() else { return nil }
      channel.pipeline.syncOperations.removeHandler(last.value, promise: nil)
      // Few reads ahead: what waits here is memory of a client that nobody listens to.
      let channel = try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
        wrappingChannelSynchronously: channel,
        configuration: .init(
          backPressureStrategy: .init(lowWatermark: 1, highWatermark: 2), isOutboundHalfClosureEnabled: true))
      return UpgradedConnection(session: session, slot: slot, channel: channel)
    }
  }
}

/// The last of the pipeline until the upgrade: answers a request that is none, and closes.
private final class RefusalHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let handshake: Handshake
  /// Seen only where the request names no protocol to upgrade to; else the upgrade handler has kept it.
  private var head: HTTPRequestHead?

  init(handshake: Handshake) { self.handshake = handshake }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end: answer(handshake.refusal(head), context)
    }
  }

  private func answer(_ refusal: Refusal, _ context: ChannelHandlerContext) {
    let body = ByteBuffer(string: refusal.message + "\n")
    var headers: HTTPHeaders = [
      "Content-Type": "text/plain; charset=utf-8", "Content-Length": "\(body.readableBytes)", "Connection": "close",
    ]
    for (name, value) in refusal.headers { headers.add(name: name, value: value) }
    context.write(
      wrapOutboundOut(.head(.init(version: .http1_1, status: refusal.status, headers: headers))), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    let loopBound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in loopBound.value.close(promise: nil) }
  }

  /// What is no HTTP, or more of it than is taken. A refusal is no error here: it is still to be answered.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if !(error is Refusal) { context.close(promise: nil) }
  }
}
