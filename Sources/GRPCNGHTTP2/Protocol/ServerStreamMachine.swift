import GRPCCore

/// One RPC as its server sees it, from after its request headers were accepted.
///
///     open(request: .open | .ended, response: .notStarted | .started)  ->  closed
///
/// A status closes the stream for both directions: what the client still sends is ignored.
struct ServerStreamMachine: StreamMachine {
  typealias InboundPart = RPCRequestPart<[UInt8]>
  typealias OutboundPart = RPCResponsePart<[UInt8]>

  private enum Request { case open, ended }
  private enum Response { case notStarted, started }
  private enum State {
    case open(request: Request, response: Response)
    case closed
  }

  private var state = State.open(request: .open, response: .notStarted)
  private var deframer: MessageDeframer
  private let maxSendSize: Int

  init(maxReceiveSize: Int, maxSendSize: Int) {
    self.deframer = MessageDeframer(maxMessageSize: maxReceiveSize)
    self.maxSendSize = maxSendSize
  }

  static func cost(of part: RPCRequestPart<[UInt8]>) -> Int {
    if case .message(let bytes) = part { bytes.count + MessageDeframer.prefixLength } else { 0 }
  }

  mutating func send(_ part: RPCResponsePart<[UInt8]>) throws(RPCError) -> StreamOutput {
    guard case .open(let request, let response) = state else {
      throw .ended
    }
    switch (part, response) {
    case (.metadata(let metadata), .notStarted):
      state = .open(request: request, response: .started)
      return .headers(try ResponseFields.initial(metadata), endStream: false)
    case (.message(let bytes), .started):
      guard bytes.count <= maxSendSize else { throw .messageTooLarge(bytes.count, limit: maxSendSize) }
      return .message(bytes)
    case (.status(let status, let metadata), _):
      state = .closed
      return ResponseFields.end(status, metadata, headersSent: response == .started)
    case (.metadata, .started):
      throw RPCError(code: .internalError, message: "the response metadata was already sent")
    case (.message, .notStarted):
      throw RPCError(code: .internalError, message: "a response message was sent before the metadata")
    }
  }

  /// A response ends with its status; a writer that is finished without one failed.
  mutating func finishSending() -> StreamOutput? {
    guard case .open(_, let response) = state else { return nil }
    state = .closed
    let status = Status(code: .unknown, message: "the server ended the RPC without a status")
    return ResponseFields.end(status, [:], headersSent: response == .started)
  }

  mutating func abandon() -> Bool {
    guard case .open = state else { return false }
    state = .closed
    return true
  }

  /// Request trailers mean nothing in gRPC, but for ending the request.
  mutating func receive(headers: [HeaderField], endStream: Bool) -> StreamReaction<InboundPart> {
    endStream ? receiveEnd() : .nothing
  }

  mutating func receive(chunk: inout UnsafeRawBufferPointer) -> StreamReaction<InboundPart> {
    guard case .open(.open, _) = state else {
      chunk = UnsafeRawBufferPointer(rebasing: chunk.suffix(0))
      return .nothing
    }
    do {
      return try deframer.next(&chunk).map { .deliver(.message($0)) } ?? .nothing
    } catch {
      return refuse(error.rpcError)
    }
  }

  mutating func receiveEnd() -> StreamReaction<InboundPart> {
    guard case .open(.open, let response) = state else { return .nothing }
    if deframer.isInsideMessage {
      return refuse(RPCError(code: .internalError, message: "the request ended in the middle of a message"))
    }
    state = .open(request: .ended, response: response)
    return .deliverLast(nil)
  }

  mutating func receiveClose(code: UInt32) -> StreamReaction<InboundPart> {
    fail(RPCError(code: .cancelled, message: "the client cancelled the RPC (HTTP/2 error code \(code))"))
  }

  mutating func connectionLost(_ reason: String) -> StreamReaction<InboundPart> {
    fail(RPCError(code: .unavailable, message: "the connection to the client is gone: \(reason)"))
  }

  mutating func deadlinePassed(canAnswer: Bool) -> StreamReaction<InboundPart> {
    let error = RPCError(code: .deadlineExceeded, message: "the deadline passed before the RPC was complete")
    return canAnswer ? refuse(error) : fail(error)
  }

  private mutating func fail(_ error: RPCError) -> StreamReaction<InboundPart> {
    guard case .open = state else { return .nothing }
    state = .closed
    return .fail(error)
  }

  private mutating func refuse(_ error: RPCError) -> StreamReaction<InboundPart> {
    guard case .open(_, let response) = state else { return .nothing }
    state = .closed
    let status = Status(code: Status.Code(error.code), message: error.message)
    return .refuse(error, answer: ResponseFields.end(status, [:], headersSent: response == .started))
  }
}
