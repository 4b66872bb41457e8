import Common
import FoundationEssentials

/// What the streaming server needs of those who run processes: the one thing it knows of pods.
///
/// A call lasts as long as its session. When the client vanishes, is idle for too long or breaks the
/// protocol, the calling task is cancelled: the implementation ends the process (or its interest in it)
/// and returns soon; what it returns or throws then is dropped.
///
/// Nothing here buffers without bound. `ProcessStreams.write` and `ByteChannel.write` return when the
/// client's connection took the bytes, and what a client sends is read from its connection only as it is
/// asked for.
public protocol StreamingBackend: Sendable {
  /// Runs a command in a container until it ends. Throws where it can't be run at all.
  func exec(_ request: ExecSessionRequest, _ streams: any ProcessStreams) async throws -> ProcessEnd

  /// Joins the client to a container's first process until that ends, or, where only stdin was asked for,
  /// until the input ends.
  func attach(_ request: AttachSessionRequest, _ streams: any ProcessStreams) async throws

  /// Joins one connection of the client to a port on the pod's own loopback, until both sides have ended
  /// or either fails. A thrown error is told to the client, and ends this connection only.
  func portForward(pod: PodID, port: UInt16, _ connection: any ByteChannel) async throws
}

/// How a process ended.
public enum ProcessEnd: Hashable, Sendable {
  /// 0 to 255; 128 + the signal's number where one killed it.
  case exited(code: UInt8)
  /// It was never run, or nobody knows how it ended: text to show, `printable`.
  case failed(String)
}

/// A process's standard streams as its client holds their other ends.
public protocol ProcessStreams: Sendable {
  /// What the client types, until its end. Nil where the request has no stdin. For one reader.
  var stdin: ClientInput? { get }
  /// The terminal's sizes, the newest only where several came in since the last was asked for. It ends with
  /// the session, and is empty without a terminal.
  var resizes: AsyncStream<TerminalSize> { get }

  /// Throws where the client is gone. Dropped where the request has no stdout. Safe to call from any task,
  /// in order for the calls of one.
  func write(stdout bytes: Data) async throws
  /// As `write(stdout:)`; never with a terminal, whose output is all stdout.
  func write(stderr bytes: Data) async throws
}

/// One connection of a port-forward session.
public protocol ByteChannel: Sendable {
  /// Until the client's half is closed. For one reader.
  var input: ClientInput { get }
  /// Throws where the client is gone.
  func write(_ bytes: Data) async throws
  /// Says that nothing more will be written; reading goes on.
  func closeOutput() async throws
}

public struct TerminalSize: Hashable, Sendable {
  public var columns: UInt16
  public var rows: UInt16

  public init(columns: UInt16, rows: UInt16) {
    self.columns = columns
    self.rows = rows
  }
}
