import GRPCCore

/// A stream's inbound parts, as GRPCCore reads them. One reader.
struct StreamParts<Machine: StreamMachine>: AsyncSequence, Sendable {
  typealias Element = Machine.InboundPart
  typealias Failure = any Error

  let stream: GRPCStream<Machine>

  init(_ stream: GRPCStream<Machine>) { self.stream = stream }

  func makeAsyncIterator() -> AsyncIterator { AsyncIterator(stream: stream) }

  struct AsyncIterator: AsyncIteratorProtocol {
    let stream: GRPCStream<Machine>

    func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> Element? { try await stream.next() }

    func next() async throws -> Element? { try await stream.next() }
  }
}

/// A stream's outbound side, as GRPCCore writes it.
struct StreamWriter<Machine: StreamMachine>: ClosableRPCWriterProtocol {
  typealias Element = Machine.OutboundPart

  let stream: GRPCStream<Machine>

  init(_ stream: GRPCStream<Machine>) { self.stream = stream }

  func write(_ element: Element) async throws { try await stream.write(element) }

  func write(contentsOf elements: some Sequence<Element>) async throws {
    for element in elements { try await stream.write(element) }
  }

  func finish() async { stream.finishWriting() }

  func finish(throwing error: any Error) async {
    stream.abandon((error as? RPCError) ?? RPCError(code: .unknown, message: "the writer failed", cause: error))
  }
}
