import GRPCCore

/// What a stream sends, in order.
enum StreamOutput: Sendable, Equatable {
  /// The first header block; with `endStream` it is the whole answer (trailers-only).
  case headers([HeaderField], endStream: Bool)
  /// One message, without its prefix.
  case message([UInt8])
  /// The end of a response.
  case trailers([HeaderField])
  /// The end of a request.
  case end
}

/// What came of something that was received.
enum StreamReaction<Part: Sendable>: Sendable {
  case nothing
  case deliver(Part)
  /// The reader gets `Part`, if there is one, and then the end.
  case deliverLast(Part?)
  /// The reader gets an error; nothing more can be sent, and the stream is reset unless it is over.
  case fail(RPCError)
  /// A server answers with a status of the transport's own; the reader gets the error, and the handler
  /// is cancelled.
  case refuse(RPCError, answer: StreamOutput)
}

/// One RPC's protocol: a value that knows no socket, no thread and no HTTP/2 library. Events go in,
/// what to do comes out. Both roles are in use through this protocol, so that the code around them
/// exists once.
///
/// There are three kinds of illegal move. Those of our own caller (a message before the metadata, a
/// write after the end) throw. Those of the peer end the stream, with a status where there is someone
/// to tell. What arrives after the end is ignored: the peer may not know of it yet.
protocol StreamMachine: Sendable {
  associatedtype InboundPart: Sendable
  associatedtype OutboundPart: Sendable

  /// How many of the peer's bytes a part stands for in flow control.
  static func cost(of part: InboundPart) -> Int

  mutating func send(_ part: OutboundPart) throws(RPCError) -> StreamOutput
  /// Our side has nothing more to send. Nil if that changes nothing.
  mutating func finishSending() -> StreamOutput?
  /// Our side gives the stream up. False if it was over already.
  mutating func abandon() -> Bool

  mutating func receive(headers: [HeaderField], endStream: Bool) -> StreamReaction<InboundPart>
  /// Takes what it can use from the start of `chunk`; `.nothing` when that is used up.
  mutating func receive(chunk: inout UnsafeRawBufferPointer) -> StreamReaction<InboundPart>
  mutating func receiveEnd() -> StreamReaction<InboundPart>
  /// The stream is over, by a reset if the code is not NO_ERROR.
  mutating func receiveClose(code: UInt32) -> StreamReaction<InboundPart>
  mutating func connectionLost(_ reason: String) -> StreamReaction<InboundPart>
  /// The RPC's deadline has passed. `canAnswer` says that nothing stands in a status's way.
  mutating func deadlinePassed(canAnswer: Bool) -> StreamReaction<InboundPart>
}

extension MessageDeframer.Failure {
  var rpcError: RPCError {
    switch self {
    case .compressed:
      RPCError(code: .unimplemented, message: "compressed messages are not supported; send them as identity")
    case .invalidFlag(let flag):
      RPCError(code: .internalError, message: "a message begins with flag byte \(flag), which is neither 0 nor 1")
    case .tooLarge(let length, let limit):
      RPCError(
        code: .resourceExhausted, message: "received message of \(length) bytes is larger than the \(limit) allowed")
    }
  }
}

extension RPCError {
  static func messageTooLarge(_ length: Int, limit: Int) -> RPCError {
    RPCError(
      code: .resourceExhausted, message: "message to send has \(length) bytes, more than the \(limit) allowed")
  }
}
