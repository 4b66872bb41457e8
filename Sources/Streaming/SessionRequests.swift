import Common

/// A command to run in a container. `StreamingServer.url(for:)` says what combinations are refused.
public struct ExecSessionRequest: Hashable, Sendable {
  public var container: ContainerID
  public var command: [String]
  public var streams: StandardStreams

  public init(container: ContainerID, command: [String], streams: StandardStreams) {
    self.container = container
    self.command = command
    self.streams = streams
  }
}

/// A container whose first process a client wants to be joined to.
public struct AttachSessionRequest: Hashable, Sendable {
  public var container: ContainerID
  public var streams: StandardStreams

  public init(container: ContainerID, streams: StandardStreams) {
    self.container = container
    self.streams = streams
  }
}

/// A pod whose ports a client wants to reach.
public struct PortForwardSessionRequest: Hashable, Sendable {
  public var pod: PodID
  /// What the client said it will ask for. Only the oldest of the protocols, channels over a WebSocket,
  /// has no other way to say it; streams of SPDY name their port.
  public var ports: [UInt16]

  public init(pod: PodID, ports: [UInt16]) {
    self.pod = pod
    self.ports = ports
  }
}

/// Which of a process's streams a client wants, and whether they are a terminal.
public struct StandardStreams: Hashable, Sendable {
  public var stdin: Bool
  public var stdout: Bool
  public var stderr: Bool
  public var terminal: Bool

  public init(stdin: Bool = false, stdout: Bool = false, stderr: Bool = false, terminal: Bool = false) {
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.terminal = terminal
  }
}
