import Common
import Glibc
import LayerFormat
import LinuxSystem

/// A layer on its way through an unpacker process. End it with `finish` or `abort`: the process lives
/// until then. Its methods run on a thread of its own and may be called from any task.
public actor LayerUnpacking {
  private enum State {
    case running(UnpackProcess)
    /// The process is reaped; why, for whoever still calls.
    case ended(BulkheadError)
  }

  private var state: State
  private let files: LayerFiles
  private let limits: LayerLimits
  private let executor: ThreadExecutor
  /// For `abort`, which doesn't wait for a `write` that blocks.
  private nonisolated let process: UnpackProcess

  public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  init(_ process: UnpackProcess, _ files: LayerFiles, _ limits: LayerLimits, _ executor: ThreadExecutor) {
    state = .running(process)
    self.process = process
    self.files = files
    self.limits = limits
    self.executor = executor
  }

  /// Hands compressed bytes to the process; returns when it has taken them all, which is the
  /// backpressure. Throws the process's own message if it refused the layer (`invalidArgument`). A
  /// cancelled task's write ends the process.
  public func write(_ bytes: [UInt8]) async throws {
    let process = try running()
    try await withTaskCancellationHandler {
      try writeBlocking(bytes, to: process)
    } onCancel: {
      process.kill()
    }
  }

  private func writeBlocking(_ bytes: [UInt8], to process: UnpackProcess) throws {
    do {
      if try process.write(bytes, patience: limits.stallTimeout) { return }
    } catch {
      throw kill(process, because: error)
    }
    throw failure(try end(process))
  }

  /// The layer's last byte was written: waits for the process to end, syncs its files to disk, and
  /// returns its result.
  public func finish() async throws -> ConvertedLayer {
    let process = try running()
    process.endInput()
    return try await withTaskCancellationHandler {
      try finishBlocking(process)
    } onCancel: {
      process.kill()
    }
  }

  /// Kills the process and waits for it. Nothing happens if it has ended already.
  public nonisolated func abort() async {
    process.kill()
    await reapAborted()
  }

  private func reapAborted() {
    guard case .running(let process) = state else { return }
    _ = process.reap()
    state = .ended(BulkheadError(.aborted, "converting the layer was aborted"))
  }

  private func running() throws -> UnpackProcess {
    switch state {
    case .running(let process): return process
    case .ended(let error): throw error
    }
  }
}

extension LayerUnpacking {
  private func finishBlocking(_ process: UnpackProcess) throws -> ConvertedLayer {
    let ending = try end(process)
    guard ending.status ?? 0 == 0, let result = UnpackResult(line: String(decoding: ending.output, as: UTF8.self))
    else { throw failure(ending) }
    let converted = try checked(result)
    state = .ended(BulkheadError(.failedPrecondition, "the layer is converted already"))
    return converted
  }

  /// The files are what counts; the process only said so.
  private func checked(_ result: UnpackResult) throws -> ConvertedLayer {
    guard let diffID = Digest(hex: result.diffID), Int(result.entries) <= limits.maximumEntries else {
      throw BulkheadError(.internalError, "bulkhead-unpack gave a result that makes no sense")
    }
    for path in [files.data, files.index] { try sync(path) }
    var status = stat()
    try systemCall("stat", subject: files.data) { lstat(files.data, &status) }
    guard UInt64(clamping: status.st_size) == result.dataSize else {
      throw BulkheadError(.internalError, "bulkhead-unpack wrote data of another size than it says")
    }
    return ConvertedLayer(
      diffID: diffID, dataSize: ByteCount(bytes: result.dataSize), entries: Int(result.entries))
  }

  private func sync(_ path: String) throws {
    let file = OpenFile(try systemCall("open", subject: path) { open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) })
    try systemCall("fsync", subject: path) { fsync(file.descriptor) }
  }

  private func end(_ process: UnpackProcess) throws -> UnpackProcess.Ending {
    do {
      let ending = try process.end(patience: limits.stallTimeout)
      state = .ended(BulkheadError(.aborted, "converting the layer failed"))
      return ending
    } catch {
      throw kill(process, because: error)
    }
  }

  /// Ends a process that does not do what it should, and returns what to throw.
  private func kill(_ process: UnpackProcess, because error: any Error) -> BulkheadError {
    process.kill()
    _ = process.reap()
    let failure =
      error is UnpackProcess.Stalled
      ? BulkheadError(
        .deadlineExceeded, "bulkhead-unpack got nowhere in \(limits.stallTimeout) and was stopped")
      : BulkheadError.wrapping(error, "cannot convert a layer")
    state = .ended(failure)
    return failure
  }

  private func failure(_ ending: UnpackProcess.Ending) -> BulkheadError {
    if Task.isCancelled { return BulkheadError(.cancelled, "converting the layer was cancelled") }
    let status = ending.status ?? 0
    let signal = status & 0x7f
    guard signal == 0 else {
      return BulkheadError(.internalError, "bulkhead-unpack was killed by signal \(signal) over this layer")
    }
    let text = String(decoding: ending.errors, as: UTF8.self).split(separator: "\n").joined(separator: "; ")
    let message = text.isEmpty ? "bulkhead-unpack ended without a result" : printable(text, limit: 1000)
    return switch UnpackExit(rawValue: status >> 8) {
    case .refused: BulkheadError(.invalidArgument, message)
    case .noSpace:
      BulkheadError(
        .resourceExhausted, "the disk of \(files.data) is full: remove images or make room there (\(message))")
    case .converted, .failed, nil: BulkheadError(.internalError, "cannot convert a layer: \(message)")
    }
  }
}
