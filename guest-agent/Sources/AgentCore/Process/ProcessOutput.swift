import CLinux
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// What a process writes, kept until someone acknowledges it. A stream whose buffer is full is not read any
/// more, and the process blocks as on a full pipe.
final class ProcessOutput: Sendable {
  enum Stream: Int, CaseIterable { case stdout = 0, stderr }

  struct Chunk {
    var stream: Stream
    var offset: UInt64
    /// Empty: the stream has ended at `offset`.
    var bytes: [UInt8]
  }

  /// Where a reader stands: the next offset of each stream, and which ends it has seen.
  struct Position {
    var offsets: [UInt64]
    var ended = [false, false]
    /// Set by `attach`: the latest reader is the only one.
    fileprivate var reader: UInt64 = 0

    init(stdout: UInt64, stderr: UInt64) { offsets = [stdout, stderr] }
    var isDone: Bool { ended[0] && ended[1] }
  }

  private struct Source {
    /// -1: it has ended.
    var descriptor: Int32
    var buffer: RingBuffer
    /// What is in the pipe now is all that will be read.
    var draining = false
    var paused = false
  }

  private struct State {
    var sources: [Source]
    var waiter: CheckedContinuation<Void, Never>?
    var reader: UInt64 = 0
  }

  static let chunkLimit = 64 << 10
  private let reactor: Reactor
  private let state: Mutex<State>

  /// Takes over the non-blocking descriptors; -1 for a stream that isn't there.
  init(reactor: Reactor, stdout: Int32, stderr: Int32, capacity: Int = 256 << 10) throws {
    self.reactor = reactor
    let buffer = RingBuffer(capacity: capacity)
    state = Mutex(
      State(sources: [
        Source(descriptor: stdout, buffer: buffer), Source(descriptor: stderr, buffer: buffer),
      ]))
    for (stream, descriptor) in zip(Stream.allCases, [stdout, stderr]) where descriptor >= 0 {
      try reactor.add(descriptor) { [self] in readable(stream) }
      reactor.arm(descriptor, .read)
    }
  }

  /// Nobody can write any more: the streams end where their pipes are empty.
  func drain() {
    state.withLock { state in
      for stream in Stream.allCases { state.sources[stream.rawValue].draining = true }
    }
    Stream.allCases.forEach(readable)
  }

  /// Ends both streams at once; what was not read is lost.
  func close() {
    wake { state in
      for stream in Stream.allCases { self.end(&state.sources[stream.rawValue]) }
    }
  }

  func acknowledge(_ stream: Stream, below offset: UInt64) {
    state.withLock { state in
      state.sources[stream.rawValue].buffer.forget(below: offset)
      let source = state.sources[stream.rawValue]
      guard source.paused, source.descriptor >= 0, source.buffer.free > 0 else { return }
      state.sources[stream.rawValue].paused = false
      reactor.arm(source.descriptor, .read)
    }
  }

  /// Makes the caller the reader; the one before it gets ABORTED.
  func attach(_ position: inout Position) {
    var reader: UInt64 = 0
    wake { state in
      state.reader &+= 1
      reader = state.reader
    }
    position.reader = reader
  }

  /// What there is after `position`, which moves on; waits if there is nothing. Empty when the calling task
  /// was cancelled. Throws RPCError: ABORTED for another reader, OUT_OF_RANGE for bytes forgotten or never
  /// written.
  func next(_ position: inout Position) async throws -> [Chunk] {
    while true {
      let chunks = try state.withLock { try Self.chunks(&$0, &position) }
      if !chunks.isEmpty || Task.isCancelled { return chunks }
      let reader = position
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let ready = state.withLock { state -> Bool in
            var look = reader
            if Task.isCancelled || (try? Self.chunks(&state, &look).isEmpty) != true { return true }
            state.waiter = continuation
            return false
          }
          if ready { continuation.resume() }
        }
      } onCancel: {
        wake { _ in }
      }
    }
  }

  private static func chunks(_ state: inout State, _ position: inout Position) throws -> [Chunk] {
    guard position.reader == state.reader else {
      throw RPCError(code: .aborted, message: "another reader took over the container's output")
    }
    var chunks: [Chunk] = []
    for stream in Stream.allCases where !position.ended[stream.rawValue] {
      let source = state.sources[stream.rawValue]
      let offset = position.offsets[stream.rawValue]
      guard (source.buffer.start...source.buffer.end).contains(offset) else {
        throw RPCError(
          code: .outOfRange,
          message: "output is kept from offset \(source.buffer.start) to \(source.buffer.end), not at \(offset)")
      }
      let bytes = source.buffer.bytes(from: offset, limit: chunkLimit)
      if !bytes.isEmpty {
        chunks.append(Chunk(stream: stream, offset: offset, bytes: bytes))
        position.offsets[stream.rawValue] += UInt64(bytes.count)
      } else if source.descriptor < 0 {
        chunks.append(Chunk(stream: stream, offset: offset, bytes: []))
        position.ended[stream.rawValue] = true
      }
    }
    return chunks
  }

  private func readable(_ stream: Stream) {
    wake { state in self.read(&state.sources[stream.rawValue]) }
  }

  private func read(_ source: inout Source) {
    while source.descriptor >= 0 {
      guard source.buffer.free > 0 else {
        source.paused = true
        return
      }
      let room = min(source.buffer.free, Self.chunkLimit)
      let descriptor = source.descriptor
      var failure: Int32 = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
        let result = Glibc.read(descriptor, buffer.baseAddress, room)
        failure = result < 0 ? errno : 0
        count = max(result, 0)
      }
      source.buffer.append(bytes)
      switch (bytes.isEmpty, failure) {
      case (false, _), (_, EINTR): continue
      case (_, EAGAIN) where !source.draining:
        reactor.arm(source.descriptor, .read)
        return
      // The end of the pipe, or EIO: nobody has the terminal open.
      default: end(&source)
      }
    }
  }

  private func end(_ source: inout Source) {
    guard source.descriptor >= 0 else { return }
    reactor.remove(source.descriptor)
    Glibc.close(source.descriptor)
    source.descriptor = -1
  }

  private func wake(_ body: (inout State) -> Void) {
    let waiter = state.withLock { state in
      body(&state)
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }
}
