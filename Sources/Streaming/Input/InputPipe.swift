import Common
import NIOCore
import Synchronization

/// The bytes of one stream between the task that reads a connection and the task that uses them.
///
/// What it holds is charged to the session's `InputBudget`; the reader of the connection waits for room
/// there before it reads on.
final class InputPipe: Sendable {
  private enum State {
    case open(CircularBuffer<ByteBuffer>)
    /// Somebody waits for bytes, so there are none.
    case waiting(CheckedContinuation<ByteBuffer?, any Error>)
    /// The client has closed its half; what it sent before is still read.
    case ended(CircularBuffer<ByteBuffer>)
    case failed(any Error)
    /// Nobody reads any more: what still comes is dropped.
    case abandoned
  }

  private let state = Mutex(State.open(CircularBuffer(initialCapacity: 4)))
  private let budget: InputBudget

  init(budget: InputBudget) { self.budget = budget }

  func push(_ bytes: ByteBuffer) {
    guard bytes.readableBytes > 0 else { return }
    let reader: CheckedContinuation<ByteBuffer?, any Error>? = state.withLock { state in
      switch state {
      case .open(var chunks):
        state = .abandoned
        chunks.append(bytes)
        budget.charge(bytes.readableBytes)
        state = .open(chunks)
        return nil
      case .waiting(let reader):
        state = .open(CircularBuffer(initialCapacity: 4))
        return reader
      case .ended, .failed, .abandoned: return nil
      }
    }
    reader?.resume(returning: bytes)
  }

  /// The client has closed its half.
  func end() {
    let reader: CheckedContinuation<ByteBuffer?, any Error>? = state.withLock { state in
      switch state {
      case .open(let chunks):
        state = .ended(chunks)
        return nil
      case .waiting(let reader):
        state = .ended(CircularBuffer())
        return reader
      case .ended, .failed, .abandoned: return nil
      }
    }
    reader?.resume(returning: nil)
  }

  /// The stream was reset or its connection is gone. What nobody has read yet is dropped.
  func fail(_ error: any Error) { finish(.failed(error), error) }

  /// Nobody will read any more.
  func abandon() { finish(.abandoned, CancellationError()) }

  private func finish(_ last: State, _ error: any Error) {
    let reader: CheckedContinuation<ByteBuffer?, any Error>? = state.withLock { state in
      switch state {
      case .open(let chunks), .ended(let chunks):
        for chunk in chunks { budget.release(chunk.readableBytes) }
        state = last
        return nil
      case .waiting(let reader):
        state = last
        return reader
      case .failed, .abandoned: return nil
      }
    }
    reader?.resume(throwing: error)
  }

  /// The next bytes; nil at the end.
  func next() async throws -> ByteBuffer? {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let answer: Result<ByteBuffer?, any Error>? = state.withLock { state in
          if Task.isCancelled { return .failure(CancellationError()) }
          switch state {
          case .open(var chunks):
            state = .abandoned
            guard let chunk = chunks.popFirst() else {
              state = .waiting(continuation)
              return nil
            }
            state = .open(chunks)
            budget.release(chunk.readableBytes)
            return .success(chunk)
          case .ended(var chunks):
            state = .abandoned
            let chunk = chunks.popFirst()
            state = .ended(chunks)
            budget.release(chunk?.readableBytes ?? 0)
            return .success(chunk)
          case .failed(let error): return .failure(error)
          case .abandoned: return .failure(CancellationError())
          case .waiting: return .failure(BulkheadError(.internalError, "a stream has two readers"))
          }
        }
        if let answer { continuation.resume(with: answer) }
      }
    } onCancel: {
      stopWaiting()
    }
  }

  /// Lets a reader go whose task is cancelled; the stream stays as it was.
  private func stopWaiting() {
    let reader: CheckedContinuation<ByteBuffer?, any Error>? = state.withLock { state in
      guard case .waiting(let reader) = state else { return nil }
      state = .open(CircularBuffer(initialCapacity: 4))
      return reader
    }
    reader?.resume(throwing: CancellationError())
  }
}
