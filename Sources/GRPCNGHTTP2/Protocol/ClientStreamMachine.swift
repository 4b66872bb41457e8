import GRPCCore

/// One RPC as its client sees it.
///
///     idle  ->  open(request: .open | .ended, response: .awaited | .started)  ->  closed
///
/// The status closes the stream for both directions.
struct ClientStreamMachine: StreamMachine {
  typealias InboundPart = RPCResponsePart<[UInt8]>
  typealias OutboundPart = RPCRequestPart<[UInt8]>

  private enum Request { case open, ended }
  private enum Response { case awaited, started }
  private enum State {
    case idle
    case open(request: Request, response: Response)
    case closed
  }

  private var state = State.idle
  private var deframer: MessageDeframer
  private let maxSendSize: Int
  private let path: String
  private let authority: String

  init(path: String, authority: String, maxReceiveSize: Int, maxSendSize: Int) {
    self.path = path
    self.authority = authority
    self.deframer = MessageDeframer(maxMessageSize: maxReceiveSize)
    self.maxSendSize = maxSendSize
  }

  static func cost(of part: RPCResponsePart<[UInt8]>) -> Int {
    if case .message(let bytes) = part { bytes.count + MessageDeframer.prefixLength } else { 0 }
  }

  mutating func send(_ part: RPCRequestPart<[UInt8]>) throws(RPCError) -> StreamOutput {
    switch (part, state) {
    case (.metadata(let metadata), .idle):
      let fields = try requestFields(metadata)
      state = .open(request: .open, response: .awaited)
      return .headers(fields, endStream: false)
    case (.message(let bytes), .open(.open, _)):
      guard bytes.count <= maxSendSize else { throw .messageTooLarge(bytes.count, limit: maxSendSize) }
      return .message(bytes)
    case (_, .closed), (_, .open(.ended, _)):
      throw .ended
    case (.metadata, .open):
      throw RPCError(code: .internalError, message: "the request metadata was already sent")
    case (.message, .idle):
      throw RPCError(code: .internalError, message: "a request message was sent before the metadata")
    }
  }

  mutating func finishSending() -> StreamOutput? {
    guard case .open(.open, let response) = state else { return nil }
    state = .open(request: .ended, response: response)
    return .end
  }

  mutating func abandon() -> Bool {
    if case .closed = state { return false }
    state = .closed
    return true
  }

  mutating func receive(headers: [HeaderField], endStream: Bool) -> StreamReaction<InboundPart> {
    guard case .open(let request, let response) = state else { return .nothing }
    if endStream { return end(with: headers) }
    switch response {
    case .started:
      return fail(RPCError(code: .internalError, message: "the server sent a second header block in mid-stream"))
    case .awaited:
      if let status = headers.first(":status"), status.utf8.first == UInt8(ascii: "1") { return .nothing }
      if let error = httpError(headers) { return fail(error) }
      if let encoding = headers.first("grpc-encoding"), encoding != "identity" {
        return fail(
          RPCError(code: .internalError, message: "the server answers in encoding \(encoding), not asked for"))
      }
      state = .open(request: request, response: .started)
      return .deliver(.metadata(MetadataFields.metadata(from: headers)))
    }
  }

  mutating func receive(chunk: inout UnsafeRawBufferPointer) -> StreamReaction<InboundPart> {
    guard case .open(_, .started) = state else {
      chunk = UnsafeRawBufferPointer(rebasing: chunk.suffix(0))
      return .nothing
    }
    do {
      return try deframer.next(&chunk).map { .deliver(.message($0)) } ?? .nothing
    } catch {
      return fail(error.rpcError)
    }
  }

  mutating func receiveEnd() -> StreamReaction<InboundPart> {
    fail(RPCError(code: .internalError, message: "the server ended the RPC without a status"))
  }

  mutating func receiveClose(code: UInt32) -> StreamReaction<InboundPart> {
    fail(RPCError(code: Self.rpcCode(http2: code), message: "the server reset the RPC (HTTP/2 error code \(code))"))
  }

  mutating func connectionLost(_ reason: String) -> StreamReaction<InboundPart> {
    fail(RPCError(code: .unavailable, message: "the connection to the server is gone: \(reason)"))
  }

  mutating func deadlinePassed(canAnswer: Bool) -> StreamReaction<InboundPart> {
    fail(RPCError(code: .deadlineExceeded, message: "the deadline passed before the RPC was complete"))
  }

  private func requestFields(_ metadata: Metadata) throws(RPCError) -> [HeaderField] {
    var fields = [
      HeaderField(":method", "POST"), HeaderField(":scheme", "http"), HeaderField(":path", path),
      HeaderField(":authority", authority), HeaderField("te", "trailers"),
      HeaderField("content-type", "application/grpc"), HeaderField("user-agent", "grpc-swift-nghttp2"),
    ]
    guard MetadataFields.append(metadata, to: &fields) == 0 else {
      throw RPCError(
        code: .internalError,
        message: "the request metadata is larger than 48 KiB, or has a key or value that HTTP/2 can't carry")
    }
    return fields
  }

  /// Trailers, or a trailers-only answer.
  private mutating func end(with fields: [HeaderField]) -> StreamReaction<InboundPart> {
    if case .open(_, .awaited) = state, fields.first("grpc-status") == nil, let error = httpError(fields) {
      return fail(error)
    }
    if deframer.isInsideMessage {
      return fail(RPCError(code: .internalError, message: "the response ended in the middle of a message"))
    }
    guard let text = fields.first("grpc-status") else {
      return fail(RPCError(code: .unknown, message: "the server ended the RPC without a status"))
    }
    state = .closed
    let code = Int(text).flatMap { Status.Code(rawValue: $0) } ?? .unknown
    let status = Status(code: code, message: StatusMessage.decode(fields.first("grpc-message") ?? ""))
    return .deliverLast(.status(status, MetadataFields.metadata(from: fields)))
  }

  private func httpError(_ fields: [HeaderField]) -> RPCError? {
    let text = fields.first(":status") ?? ""
    guard text == "200" else {
      return RPCError(code: Self.rpcCode(httpStatus: text), message: "the server answered with HTTP status \(text)")
    }
    guard isGRPC(contentType: fields.first("content-type")) else {
      return RPCError(code: .unknown, message: "the server's answer has a content-type that is not application/grpc")
    }
    return nil
  }

  private mutating func fail(_ error: RPCError) -> StreamReaction<InboundPart> {
    if case .closed = state { return .nothing }
    state = .closed
    return .fail(error)
  }

  /// gRPC's doc/http-grpc-status-mapping.md.
  private static func rpcCode(httpStatus: String) -> RPCError.Code {
    switch httpStatus {
    case "400": .internalError
    case "401": .unauthenticated
    case "403": .permissionDenied
    case "404": .unimplemented
    case "429", "502", "503", "504": .unavailable
    default: .unknown
    }
  }

  /// gRPC over HTTP2, "HTTP2 Transport Mapping": errors.
  private static func rpcCode(http2 code: UInt32) -> RPCError.Code {
    switch code {
    case 0x7: .unavailable  // REFUSED_STREAM
    case 0x8: .cancelled  // CANCEL
    case 0xb: .resourceExhausted  // ENHANCE_YOUR_CALM
    case 0xc: .permissionDenied  // INADEQUATE_SECURITY
    default: .internalError
    }
  }
}
