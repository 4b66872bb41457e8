import ContainerLog
import FoundationEssentials

/// Who is at the other end of a process's standard streams: a client of the streaming server, bulkheadctl.
///
/// Nothing between the two buffers without bound: `write` returns when the client's connection took the
/// bytes, and input is asked for only when the last of it is on its way. A session whose calling task is
/// cancelled ends its process, or its interest in it.
public protocol ProcessClient: Sendable {
  associatedtype Input: AsyncSequence & Sendable where Input.Element == Data

  /// What the client types, until its end. Nil: the client has no input to give.
  var input: Input? { get }
  /// The sizes of the client's terminal; empty without one.
  var terminalSizes: AsyncStream<TerminalDimensions> { get }
  /// Throws where the client is gone.
  func write(_ bytes: Data, to stream: LogStream) async throws
}

public struct TerminalDimensions: Sendable, Hashable {
  public var columns: UInt16
  public var rows: UInt16

  public init(columns: UInt16, rows: UInt16) {
    self.columns = columns
    self.rows = rows
  }
}

/// Which of a process's streams a client wants.
public struct ProcessStreamSet: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  public static let stdin = ProcessStreamSet(rawValue: 1)
  public static let stdout = ProcessStreamSet(rawValue: 2)
  public static let stderr = ProcessStreamSet(rawValue: 4)

  func includes(_ stream: LogStream) -> Bool { contains(stream == .stdout ? ProcessStreamSet.stdout : .stderr) }
}

/// One connection to a port of a pod, as its client holds the other end.
public protocol PortClient: Sendable {
  associatedtype Input: AsyncSequence & Sendable where Input.Element == Data

  /// Until the client's half is closed.
  var input: Input { get }
  /// The port is connected to, and what is written from now on is its server's.
  func connected() async throws
  /// Throws where the client is gone.
  func write(_ bytes: Data) async throws
  /// Nothing more will be written; reading goes on.
  func closeOutput() async throws
}

extension PortClient {
  public func connected() async throws {}
}
