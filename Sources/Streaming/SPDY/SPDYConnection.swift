import Common
import NIOCore
import Synchronization

/// The server's end of a SPDY/3.1 connection: its streams, and the one task that reads frames for them.
///
/// SPDY's windows are not kept, because no client of Kubernetes keeps them (spdystream neither sends nor
/// obeys WINDOW_UPDATE): whoever waited for one would wait forever. TCP is what holds a sender up. So the
/// reader stops reading the connection while `InputBudget` is used up, and writers wait for the socket.
final class SPDYConnection: Sendable {
  /// Streams alive at once: 512 connections of a port-forward session.
  static let maximumStreams = 1024
  private static let inputLimit = 256 << 10

  private struct State {
    var streams: [UInt32: SPDYStream] = [:]
    var last: UInt32 = 0
    var hasGoneAway = false
  }

  private let wire: any Wire
  private let state = Mutex(State())
  private let budget = InputBudget(limit: inputLimit)

  init(wire: any Wire) { self.wire = wire }

  func send(_ frame: ByteBuffer) async throws { try await wire.write(frame) }

  /// Until the calling task is cancelled, or the client is found to be gone.
  func probeWhileStalled(every interval: Duration) async throws {
    // Even: an id of the server's. Clients answer it, which changes nothing.
    try await budget.probeWhileStalled(every: interval) { try await wire.probe(SPDYFrames.ping(id: 2)) }
  }

  /// Forgets a stream; what still comes for it is dropped.
  func remove(_ stream: SPDYStream) {
    stream.input.abandon()
    state.withLock { _ = $0.streams.removeValue(forKey: stream.id) }
  }

  /// Reads until the client ends the connection, answering what needs an answer. `accept` says whether a
  /// new stream is welcome; it is replied to, or reset, before anything more is read, and then handed to
  /// `opened`.
  ///
  /// Throws `SPDYViolation` once the client has been told of it.
  func read(
    _ chunks: some AsyncSequence<ByteBuffer, any Error>, accept: @Sendable (SPDYStream) -> Bool,
    opened: @Sendable (SPDYStream) -> Void
  ) async throws {
    var parser = SPDYParser()
    let deflater = HeaderDeflater()
    defer { failAll() }
    do {
      for try await bytes in chunks {
        parser.append(bytes)
        while let event = try parser.next() {
          switch event {
          case .opened(let id, let headers, let isLast):
            try await open(id, headers, isLast, deflater, accept, opened)
          case .data(let id, let bytes, let isLast):
            await deliver(bytes, to: id, isLast)
          case .moreHeaders(let id, let isLast):
            if isLast { stream(id)?.input.end() }
          case .reset(let id):
            state.withLock { $0.streams.removeValue(forKey: id) }?.end(StreamReset())
          case .ping(let id):
            // The client's are odd; an even one would answer ours, and we send none.
            if id % 2 == 1 { try await send(SPDYFrames.ping(id: id)) }
          case .goAway:
            // No new streams will come; those that are open go on.
            break
          }
        }
      }
    } catch let violation as SPDYViolation {
      await goAway(.protocolError)
      throw violation
    }
  }

  private func open(
    _ id: UInt32, _ headers: HeaderBlock, _ isLast: Bool, _ deflater: HeaderDeflater,
    _ accept: @Sendable (SPDYStream) -> Bool, _ opened: @Sendable (SPDYStream) -> Void
  ) async throws {
    let stream = SPDYStream(id: id, headers: headers, input: InputPipe(budget: budget), connection: self)
    let full = state.withLock { state in
      state.last = id
      return state.streams.count >= Self.maximumStreams
    }
    guard !full, accept(stream) else { return try await stream.reset(.refusedStream) }
    state.withLock { $0.streams[id] = stream }
    if isLast { stream.input.end() }
    let headers = try deflater.deflate(HeaderBlock().encoded)
    try await send(SPDYFrames.synReply(stream: id, compressedHeaders: headers))
    opened(stream)
  }

  /// Data for streams that are gone is dropped: it may have been under way.
  private func deliver(_ bytes: ByteBuffer, to id: UInt32, _ isLast: Bool) async {
    guard let stream = stream(id) else { return }
    stream.input.push(bytes)
    if isLast { stream.input.end() }
    await budget.waitForRoom()
  }

  private func stream(_ id: UInt32) -> SPDYStream? { state.withLock { $0.streams[id] } }

  private func failAll() {
    let all = state.withLock { state in
      defer { state.streams = [:] }
      return state.streams.values
    }
    for stream in all { stream.end(ClientGone()) }
  }

  /// Says that the server is done, and that nothing more will be written.
  func finish() async {
    await goAway(.ok)
    wire.finish()
  }

  /// Once: the first reason is the one that counts.
  private func goAway(_ status: SPDYFrames.GoAwayStatus) async {
    let last: UInt32? = state.withLock { state in
      defer { state.hasGoneAway = true }
      return state.hasGoneAway ? nil : state.last
    }
    if let last { try? await send(SPDYFrames.goAway(lastStream: last, status)) }
  }
}
