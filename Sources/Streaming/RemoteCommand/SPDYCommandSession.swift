import Common
import FoundationEssentials
import NIOCore
import Synchronization

/// Versions of the remote command protocol on SPDY. Each has what those before it have.
enum RemoteCommandVersion: String, CaseIterable, Comparable, Sendable {
  case v1 = "channel.k8s.io"
  case v2 = "v2.channel.k8s.io"
  case v3 = "v3.channel.k8s.io"
  case v4 = "v4.channel.k8s.io"
  case v5 = "v5.channel.k8s.io"

  var canResize: Bool { self >= .v3 }
  /// Whether the error stream carries a `metav1.Status` and not only text.
  var hasStatus: Bool { self >= .v4 }

  static func < (a: Self, b: Self) -> Bool { a.order < b.order }
  private var order: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// Exec or attach over SPDY: one stream for each of the process's, one for its status, one for the
/// terminal's size.
struct SPDYCommandSession: Sendable {
  let command: RemoteCommand
  let version: RemoteCommandVersion
  let backend: any StreamingBackend
  let limits: SessionLimits

  func serve(_ chunks: some AsyncSequence<ByteBuffer, any Error> & Sendable, _ wire: any Wire) async throws {
    let connection = SPDYConnection(wire: wire)
    let expected = ExpectedStreams(for: command.streams, canResize: version.canResize)
    try await whileConnected(limits) {
      try await connection.read(chunks, accept: expected.accept, opened: expected.opened)
    } work: {
      try await run(expected)
    } probe: {
      try await connection.probeWhileStalled(every: $0)
    } finish: {
      await connection.finish()
    }
  }

  private func run(_ expected: ExpectedStreams) async throws {
    let complete = await within(limits.streamCreation) { await expected.complete.wait() }
    let streams = expected.found
    var status = CommandStatus.failed("timed out waiting for the client to open its streams")
    if complete {
      try Task.checkCancellation()
      status = try await command.run(backend, stdin: streams[.stdin]?.input, resize: streams[.resize]?.input) {
        try await streams[$1 == .stdout ? .stdout : .stderr]?.write($0)
      }
    }
    for stream in streams.values { stream.input.abandon() }
    try await streams[.error]?.write(status.encoded(asStatus: version.hasStatus))
    for stream in streams.values { try await stream.finish() }
  }
}

/// The streams that a client is to open, by their header `streamtype`.
private final class ExpectedStreams: Sendable {
  enum Kind: String, Sendable {
    case error, stdin, stdout, stderr, resize
  }

  /// Opens when all are there.
  let complete = Latch()
  private let wanted: Set<Kind>
  private let state = Mutex<(accepted: Set<Kind>, opened: [Kind: SPDYStream])>(([], [:]))

  init(for streams: StandardStreams, canResize: Bool) {
    var wanted: Set<Kind> = [.error]
    if streams.stdin { wanted.insert(.stdin) }
    if streams.stdout { wanted.insert(.stdout) }
    if streams.stderr { wanted.insert(.stderr) }
    if streams.terminal, canResize { wanted.insert(.resize) }
    self.wanted = wanted
  }

  var found: [Kind: SPDYStream] { state.withLock { $0.opened } }

  private func kind(of stream: SPDYStream) -> Kind? { stream.headers["streamtype"].flatMap(Kind.init) }

  func accept(_ stream: SPDYStream) -> Bool {
    guard let kind = kind(of: stream), wanted.contains(kind) else { return false }
    return state.withLock { $0.accepted.insert(kind).inserted }
  }

  func opened(_ stream: SPDYStream) {
    guard let kind = kind(of: stream) else { return }
    // Nobody reads what a client might send on the others.
    if kind != .stdin, kind != .resize { stream.input.abandon() }
    let all = state.withLock { state in
      state.opened[kind] = stream
      return state.opened.count == wanted.count
    }
    if all { complete.open() }
  }
}
