import CGuest
import ContainerInit
import Glibc
import LinuxSystem

/// The standard streams of a process that is about to be made, both ends. Closes those that nobody took.
final class ProcessStreams {
  private enum End: Int { case childInput, childOutput, childError, input, output, error }
  private var descriptors = [Int32](repeating: -1, count: 6)

  /// A pipe's room, as far as the kernel gives it: a writer that is ahead of us needn't stop for each read.
  static let pipeSize = 256 << 10

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
  }

  deinit { for descriptor in descriptors where descriptor >= 0 { close(descriptor) } }

  /// Our ends. `Output` is what is made of stdout's and stderr's descriptors, -1 for one that isn't there,
  /// and owns them.
  struct Adopted<Output> {
    var output: Output
    var input: ProcessInput?
    var terminal: ProcessTerminal?
  }

  /// Hands our ends to those who own them from now on; `terminal` is the master that the child sent, owned by
  /// them too.
  func adopt<Output>(
    by reactor: Reactor, terminal: Int32?, stdin: Bool, output: (Int32, Int32) throws -> Output
  ) throws -> Adopted<Output> {
    var input: ProcessInput?
    var size: ProcessTerminal?
    if let terminal {
      descriptors[End.output.rawValue] = terminal
      // Descriptors of their own, as epoll knows each only once.
      if stdin { descriptors[End.input.rawValue] = try duplicate(terminal) }
      size = ProcessTerminal(try AsyncDescriptor(owning: try duplicate(terminal), reactor: reactor))
    }
    if descriptors[End.input.rawValue] >= 0 {
      input = ProcessInput(try AsyncDescriptor(owning: take(.input), reactor: reactor), isTerminal: terminal != nil)
    }
    for end in [End.output, .error] { try setNonBlocking(descriptors[end.rawValue]) }
    return Adopted(output: try output(take(.output), take(.error)), input: input, terminal: size)
  }

  private func duplicate(_ descriptor: Int32) throws -> Int32 {
    try systemCall("dup") { fcntl(descriptor, F_DUPFD_CLOEXEC, 3) }
  }

  private func take(_ end: End) -> Int32 {
    defer { descriptors[end.rawValue] = -1 }
    return descriptors[end.rawValue]
  }

  private func makePipe(read: End, write: End) throws {
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe") { guest_pipe(&ends) }
    guest_pipe_size(ends[0], Int32(Self.pipeSize))
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
