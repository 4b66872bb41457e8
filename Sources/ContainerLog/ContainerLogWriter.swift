import Common
import Glibc
import LinuxSystem
import Synchronization

/// Writes one container's log file in the CRI's format and knows, over the death of the daemon too,
/// which bytes of the container's output are in it: each byte is in the log once.
///
/// The caller numbers the bytes of each stream from the container's start, goes on from
/// `resumeOffsets` after a restart, and may forget (acknowledge) what the returned offsets cover. A
/// line that has not ended is not written and so not covered.
///
/// Calls may come from any thread and are serial; they block for as long as a write to a file does.
/// Every error leaves log and position as they were before the call, so that it can be made again.
public final class ContainerLogWriter: Sendable {
  private let path: String
  private let clock: @Sendable () -> Int64
  private let state: Mutex<State>

  private struct State {
    /// Nil once closed.
    var log: LogFile?
    let positionFile: LogFile
    /// What is in the log.
    var offsets: StreamOffsets
    var splitters: Splitters
  }

  private struct Splitters {
    var stdout: LineSplitter
    var stderr: LineSplitter

    subscript(stream: LogStream) -> LineSplitter {
      get { stream == .stdout ? stdout : stderr }
      set { if stream == .stdout { stdout = newValue } else { stderr = newValue } }
    }
  }

  /// Opens or makes the log at `path` (mode 0640; its directories are made) and the file at
  /// `statePath` that says how far it is, which must be this log's own.
  ///
  /// `maximumLine` is the most bytes of output in a line. `clock` gives nanoseconds since 1970.
  /// Throws `dataLoss` where the state file is not one, else what `append` throws.
  public init(
    path: String, statePath: String, maximumLine: Int = 16384,
    clock: @escaping @Sendable () -> Int64 = { LogTimestamp.now() }
  ) throws(BulkheadError) {
    self.path = path
    self.clock = clock
    do {
      let positionFile = try LogFile.open(statePath, flags: O_RDWR | O_CREAT, mode: 0o600)
      let former = try Self.recover(positionFile, path)
      state = Mutex(
        State(
          log: try Self.openLog(path, at: former, positionFile), positionFile: positionFile, offsets: former,
          splitters: Splitters(
            stdout: LineSplitter(stream: .stdout, maximum: maximumLine),
            stderr: LineSplitter(stream: .stderr, maximum: maximumLine))))
    } catch let error as SystemError {
      throw logError(error, path)
    } catch {
      throw BulkheadError.wrapping(error, "open container log \(printable(path))")
    }
  }

  /// How much of each stream is in the log. Where reading goes on from after a restart or a broken
  /// connection: bytes that this writer holds already may come again.
  public var resumeOffsets: (stdout: UInt64, stderr: UInt64) {
    state.withLock { ($0.offsets.stdout, $0.offsets.stderr) }
  }

  /// Takes the bytes of a stream that begin at `offset`, writes the lines that they complete, and
  /// returns how much of each stream is in the log now. Bytes that came before are passed over.
  ///
  /// Throws `dataLoss` if bytes between are missing, `resourceExhausted` if the disk is full.
  @discardableResult
  public func append(
    stream: LogStream, offset: UInt64, bytes: [UInt8]
  ) throws(BulkheadError) -> (stdout: UInt64, stderr: UInt64) {
    let timestamp = LogTimestamp.bytes(clock())
    return try write(stream) { (splitter, received, out) throws(BulkheadError) in
      guard offset <= received else {
        throw BulkheadError(
          .dataLoss, "container log \(printable(path)): \(offset - received) bytes of \(stream.rawValue) are missing")
      }
      let new = bytes.dropFirst(Int(clamping: received - offset))
      splitter.feed(new, timestamp: timestamp, into: &out)
      received += UInt64(new.count)
    }
  }

  /// The stream has ended: what is left of its last line is written, with tag P.
  @discardableResult
  public func end(stream: LogStream) throws(BulkheadError) -> (stdout: UInt64, stderr: UInt64) {
    let timestamp = LogTimestamp.bytes(clock())
    return try write(stream) { (splitter, _, out) in splitter.end(timestamp: timestamp, into: &out) }
  }

  /// Goes on in a new file at the log's path, where rotation has renamed the old one; the same file
  /// if it is still there. Lines that have not ended go to the new file.
  public func reopen() throws(BulkheadError) {
    try state.withLock { (state) throws(BulkheadError) in
      guard state.log != nil else { return }
      do throws(SystemError) { state.log = try Self.openLog(path, at: state.offsets, state.positionFile) } catch {
        throw logError(error, path)
      }
    }
  }

  /// Lets go of the log file. Later calls throw `failedPrecondition`; `resumeOffsets` stay.
  public func close() {
    state.withLock { $0.log = nil }
  }
}

// MARK: - Steps

extension ContainerLogWriter {
  /// Runs `body` on copies of the stream's splitter and of how many of its bytes have come, writes the
  /// lines that it made, and only then keeps them.
  private func write(
    _ stream: LogStream,
    _ body: (inout LineSplitter, inout UInt64, inout [UInt8]) throws(BulkheadError) -> Void
  ) throws(BulkheadError) -> (stdout: UInt64, stderr: UInt64) {
    try state.withLock { (state) throws(BulkheadError) in
      guard let log = state.log else {
        throw BulkheadError(.failedPrecondition, "container log \(printable(path)) is closed")
      }
      var splitter = state.splitters[stream]
      var received = state.offsets[stream] &+ UInt64(splitter.pending.count)
      var lines: [UInt8] = []
      try body(&splitter, &received, &lines)
      if !lines.isEmpty {
        var offsets = state.offsets
        offsets[stream] = received &- UInt64(splitter.pending.count)
        do throws(SystemError) {
          try Self.write(lines, to: log, from: state.offsets, to: offsets, state.positionFile)
        } catch {
          throw logError(error, path)
        }
        state.offsets = offsets
      }
      state.splitters[stream] = splitter
      return (state.offsets.stdout, state.offsets.stderr)
    }
  }

  private static func write(
    _ lines: [UInt8], to log: LogFile, from before: StreamOffsets, to after: StreamOffsets, _ positionFile: LogFile
  ) throws(SystemError) {
    let (identity, size) = try log.inspect()
    let position = LogPosition(
      file: identity, before: .init(offsets: before, size: size),
      after: .init(offsets: after, size: size &+ UInt64(lines.count)))
    try positionFile.overwriteStart(position.encoded())
    do { try log.append(lines) } catch {
      try log.truncate(to: size)
      throw error
    }
  }

  /// The log at its path, made the one that the position file speaks of.
  private static func openLog(
    _ path: String, at offsets: StreamOffsets, _ positionFile: LogFile
  ) throws(SystemError) -> LogFile {
    try makeDirectories(parentDirectory(of: path), mode: 0o755)
    let log = try LogFile.open(path, flags: O_WRONLY | O_APPEND | O_CREAT, mode: 0o640)
    let (identity, size) = try log.inspect()
    let here = LogPosition.Point(offsets: offsets, size: size)
    try positionFile.overwriteStart(LogPosition(file: identity, before: here, after: here).encoded())
    return log
  }

  /// Where a former daemon left off; finishes what it was killed in.
  private static func recover(_ positionFile: LogFile, _ path: String) throws -> StreamOffsets {
    let bytes = try positionFile.read(at: 0, count: LogPosition.encodedSize)
    // Nothing is written to a log before its first record is.
    if bytes.isEmpty { return StreamOffsets() }
    guard let position = LogPosition(bytes) else {
      throw BulkheadError(
        .dataLoss, "\(printable(positionFile.path)) does not say how far container log \(printable(path)) is")
    }
    // A log that is nowhere any more was taken away after it was written: the write between the two
    // halves of a record is a moment, the life of a log is not.
    guard let former = findFile(position.file, in: parentDirectory(of: path)) else { return position.after.offsets }
    let log = try LogFile.open(former, flags: O_WRONLY)
    let (offsets, cutTo) = position.resume(size: try log.inspect().size)
    if let cutTo { try log.truncate(to: cutTo) }
    return offsets
  }
}
