/// What streams want of their connection.
extension Connection {
  /// Does what `stream` has for the loop.
  func serve(_ stream: GRPCStream<Machine>) {
    guard let id = ids[stream.key], let entry = entries[id] else { return }
    apply(stream.takeWork(), to: entry, id)
  }

  /// The same on a client, where a stream begins with its first work.
  func serveOrStart(_ stream: GRPCStream<Machine>) {
    if ids[stream.key] == nil { start(stream) } else { serve(stream) }
  }

  private func start(_ stream: GRPCStream<Machine>) {
    guard phase == .open, let session else { return stream.connectionLost("it is shutting down") }
    let work = stream.takeWork()
    guard !work.reset, case .headers(let fields, _) = work.outputs.first else { return }
    guard let id = session.submitRequest(fields) else {
      // Its 2^30 stream numbers are used up: the next RPC gets a new connection.
      beginShutdown()
      owner.isDraining(self)
      return stream.connectionLost("it takes no more requests")
    }
    let entry = add(stream, id)
    apply(.init(outputs: Array(work.outputs.dropFirst()), credit: work.credit, reset: false), to: entry, id)
    markDirty()
  }

  private func add(_ stream: GRPCStream<Machine>, _ id: Int32) -> Entry {
    let entry = Entry(stream)
    entries[id] = entry
    ids[stream.key] = id
    return entry
  }

  private func apply(_ work: GRPCStream<Machine>.Work, to entry: Entry, _ id: Int32) {
    guard let session else { return }
    for output in work.outputs {
      switch output {
      case .headers(let fields, let endStream): session.submitResponse(fields, endStream: endStream, on: id)
      case .message(let bytes): entry.queue.append(bytes)
      case .trailers(let fields): entry.queue.end = .trailers(fields)
      case .end: entry.queue.end = .endStream
      }
    }
    if entry.isWaiting, entry.queue.byteCount > 0 || entry.queue.end != nil {
      entry.isWaiting = false
      session.resume(id)
    }
    if work.credit > 0 { session.consume(work.credit, on: id) }
    if work.reset { session.reset(id, .cancel) }
    markDirty()
  }

  private func opened(_ request: [HeaderField], overflow: Bool, endStream: Bool, on id: Int32) {
    guard overflow || request.isWellFormedRequest else { return refuse(id) }
    guard let opened = owner.open(request, overflow: overflow, on: id, of: self) else { return }
    let entry = add(opened.stream, id)
    if let timeout = opened.timeout {
      entry.deadline = resources.poller.after(timeout) { [unowned entry] in entry.stream.deadlinePassed() }
    }
    if endStream { opened.stream.receivedEnd() }
  }

  private func refuse(_ id: Int32) { session?.reset(id, .protocolError) }
}

extension Connection: HTTP2SessionDelegate {
  func received(headers fields: [HeaderField], overflow: Bool, endStream: Bool, isRequest: Bool, on id: Int32) {
    if isRequest { return opened(fields, overflow: overflow, endStream: endStream, on: id) }
    guard let entry = entries[id] else { return }
    if overflow { return entry.stream.abandon(.headersTooLarge) }
    if session?.role == .server, !endStream || !fields.areWellFormedTrailers { return refuse(id) }
    entry.stream.received(headers: fields, endStream: endStream)
    if endStream { finishEarly(entry, id) }
  }

  /// A response that is complete before its request: what is left of the request has no reader.
  private func finishEarly(_ entry: Entry, _ id: Int32) {
    if session?.role == .client, !entry.hasSentEnd { session?.reset(id, .cancel) }
  }

  func received(data: UnsafeRawBufferPointer, on id: Int32) {
    session?.consumeConnection(data.count)
    guard let entry = entries[id] else { return }
    let credit = entry.stream.received(data: data)
    if credit > 0 { session?.consume(credit, on: id) }
  }

  func receivedEnd(on id: Int32) { entries[id]?.stream.receivedEnd() }

  func closed(stream id: Int32, code: UInt32) {
    guard let entry = entries.removeValue(forKey: id) else { return }
    ids[entry.stream.key] = nil
    if let deadline = entry.deadline { resources.poller.cancel(deadline) }
    entry.stream.closed(code: code)
  }

  /// A server that has answered before the request's end asks the client to stop sending
  /// (RFC 9113, 8.1).
  func sentEnd(on id: Int32) {
    entries[id]?.hasSentEnd = true
    guard let session, session.role == .server, session.isRemoteOpen(id) else { return }
    session.reset(id, .noError)
  }

  func nextData(for id: Int32, limit: Int) -> DataToSend {
    guard let entry = entries[id] else { return .wait }
    let queue = entry.queue
    let count = min(queue.byteCount, limit)
    if count < queue.byteCount { return .bytes(count) }
    switch queue.end {
    case nil:
      if count > 0 { return .bytes(count) }
      entry.isWaiting = true
      return .wait
    case .endStream: return .last(count)
    case .trailers(let fields): return .beforeTrailers(count, fields)
    }
  }

  func move(_ count: Int, from id: Int32, to output: OutputBuffer) {
    guard let entry = entries[id] else { return }
    entry.queue.move(count, to: output)
    if entry.sentBytes == 0 { senders.append(entry) }
    entry.sentBytes += count
  }

  func receivedGoAway() {
    guard phase == .open else { return }
    if session?.role == .client { phase = .draining }
    owner.isDraining(self)
  }

  func receivedPong() {
    if phase == .announced { refuseNewStreams() }
  }
}
