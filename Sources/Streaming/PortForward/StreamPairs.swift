import Common

/// Pairs the error and the data stream of each connection of a port-forward session, as the client opens
/// them in any order. A pure value.
struct StreamPairs<Stream: Sendable>: Sendable {
  enum Kind: String, Sendable {
    case error, data
  }

  /// What the headers of a stream say.
  struct Request: Hashable, Sendable {
    var kind: Kind
    var port: UInt16
    var connection: String
  }

  struct Pair: Sendable {
    var connection: String
    var port: UInt16
    var data: Stream
    var error: Stream
  }

  enum Outcome: Sendable {
    /// The first half: it has until the time is up.
    case waiting
    case complete(Pair)
    /// A third stream, or halves that disagree about the port.
    case refused(String)
  }

  private struct Half: Sendable {
    var kind: Kind
    var port: UInt16
    var stream: Stream
  }

  private var halves: [String: Half] = [:]

  mutating func add(_ request: Request, _ stream: Stream) -> Outcome {
    guard let other = halves[request.connection] else {
      halves[request.connection] = Half(kind: request.kind, port: request.port, stream: stream)
      return .waiting
    }
    guard other.kind != request.kind else { return .refused("the request already has a stream for its \(other.kind)") }
    guard other.port == request.port else {
      return .refused("the request's streams name two ports, \(other.port) and \(request.port)")
    }
    halves[request.connection] = nil
    let isData = request.kind == .data
    return .complete(
      Pair(
        connection: request.connection, port: request.port, data: isData ? stream : other.stream,
        error: isData ? other.stream : stream))
  }

  /// Takes a half out whose other half never came.
  mutating func expire(_ connection: String) -> (kind: Kind, stream: Stream)? {
    halves.removeValue(forKey: connection).map { ($0.kind, $0.stream) }
  }
}

extension StreamPairs.Request {
  /// Reads a stream's headers. Throws `invalidArgument` with what is wrong.
  ///
  /// Clients before 1.2 sent no request id, and opened a connection's error stream and then its data stream:
  /// these pair by stream id.
  init(headers: HeaderBlock, stream: UInt32) throws(BulkheadError) {
    guard let kind = headers["streamtype"].flatMap(StreamPairs.Kind.init) else {
      throw BulkheadError(.invalidArgument, "the header streamType must be error or data")
    }
    guard let text = headers["port"] else { throw BulkheadError(.invalidArgument, "the header port is missing") }
    guard let port = UInt16(text), port > 0 else {
      throw BulkheadError(.invalidArgument, "\"\(printable(text, limit: 32))\" is no port: 1 to 65535")
    }
    self.kind = kind
    self.port = port
    connection = headers["requestid"] ?? "stream \(kind == .error ? stream : stream &- 2)"
  }
}
