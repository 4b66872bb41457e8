import CGuest
import ContainerInit
import Glibc
import LinuxSystem

/// The standard streams of a process that is about to be made, both ends. Closes those that nobody took.
final class ProcessStreams {
  private enum End: Int { case childInput, childOutput, childError, input, output, error }
  private var descriptors = [Int32](repeating: -1, count: 6)

  /// Standard input, output, error as the child gets them.
  var child: [Int32] { Array(descriptors[0..<3]) }

  /// With a terminal the child makes its streams itself, and starts on /dev/null.
  init(stdin: Bool, terminal: Bool) throws {
    if stdin && !terminal { try makePipe(read: .childInput, write: .input) } else { try openNull(.childInput) }
    if terminal {
      try openNull(.childOutput)
      try openNull(.childError)
    } else {
      try makePipe(read: .output, write: .childOutput)
      try makePipe(read: .error, write: .childError)
    }
    for end in [End.input, .output, .error] { try setNonBlocking(descriptors[end.rawValue]) }
  }

  deinit { for descriptor in descriptors where descriptor >= 0 { close(descriptor) } }

  /// The agent's ends for `ProcessOutput` and `ProcessInput`, which own them from now on; `terminal` is the
  /// master that the child sent, owned by them too.
  func adopt(
    by reactor: Reactor, terminal: Int32?, stdin: Bool
  ) throws -> (output: ProcessOutput, input: ProcessInput?) {
    if let terminal {
      try setNonBlocking(terminal)
      descriptors[End.output.rawValue] = terminal
      // A descriptor of its own, as epoll knows each only once.
      if stdin { descriptors[End.input.rawValue] = try systemCall("dup") { fcntl(terminal, F_DUPFD_CLOEXEC, 3) } }
    }
    let input = descriptors[End.input.rawValue] >= 0 ? try ProcessInput(reactor: reactor, take(.input)) : nil
    let output = try ProcessOutput(reactor: reactor, stdout: take(.output), stderr: take(.error))
    return (output, input)
  }

  private func take(_ end: End) -> Int32 {
    defer { descriptors[end.rawValue] = -1 }
    return descriptors[end.rawValue]
  }

  private func makePipe(read: End, write: End) throws {
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe") { guest_pipe(&ends) }
    descriptors[read.rawValue] = ends[0]
    descriptors[write.rawValue] = ends[1]
  }

  private func openNull(_ end: End) throws {
    descriptors[end.rawValue] = try systemCall("open", subject: "/dev/null") { open("/dev/null", O_RDWR | O_CLOEXEC) }
  }
}

private func setNonBlocking(_ descriptor: Int32) throws {
  if descriptor < 0 { return }
  let flags = try systemCall("fcntl") { fcntl(descriptor, F_GETFL) }
  try systemCall("fcntl") { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
}
