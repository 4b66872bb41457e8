import CLinux
import Common
import Glibc
import LinuxSystem
import Synchronization

/// Runs a program in a process group of its own, feeds it, and takes what it prints, both bounded. For
/// plugins: other people's executables, run as root.
struct PluginProcess: Sendable {
  var executable: String
  var environment: [String]
  var input: [UInt8]
  var deadline: Duration

  struct Output: Sendable {
    /// 0 to 255; 128 + signal.
    var status: Int32
    var output: [UInt8]
    /// The first part of it.
    var errors: [UInt8]
  }

  enum Failure: Error {
    case deadlinePassed
    case tooMuchOutput
    case cancelled
  }

  static let largestOutput = 1 << 20

  /// Waits until it has ended, or kills its whole group: when the deadline passes, when it prints more than
  /// a result can be, and when the calling task is cancelled.
  func run() async throws -> Output {
    let cancellation = Mutex(false)
    return try await withTaskCancellationHandler {
      try await onDedicatedThread { try self.runOnThread { cancellation.withLock { $0 } } }
    } onCancel: {
      cancellation.withLock { $0 = true }
    }
  }

  private func runOnThread(isCancelled: () -> Bool) throws -> Output {
    // A plugin may leave its configuration unread, which must end neither the daemon nor the call.
    var pipeSignal = sigset_t()
    sigemptyset(&pipeSignal)
    sigaddset(&pipeSignal, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipeSignal, nil)
    let standardInput = try Pipe()
    let standardOutput = try Pipe()
    let standardError = try Pipe()
    let pid = try spawnProcess(
      executable, environment: environment,
      descriptors: [standardInput.reading, standardOutput.writing, standardError.writing], ownGroup: true)
    standardInput.closeReading()
    standardOutput.closeWriting()
    standardError.closeWriting()
    do {
      let pidfd = OpenDescriptor(try systemCall("pidfd_open") { bh_pidfd_open(pid) })
      var exchange = Exchange(
        input: input, standardInput: standardInput, standardOutput: standardOutput, standardError: standardError)
      try exchange.run(until: pidfd.number, end: .now + deadline, isCancelled: isCancelled)
      return Output(status: Self.reap(pid), output: exchange.output, errors: exchange.errors)
    } catch {
      kill(-pid, SIGKILL)
      kill(pid, SIGKILL)
      _ = Self.reap(pid)
      throw error
    }
  }

  private static func reap(_ pid: pid_t) -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) == -1, errno == EINTR {}
    return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
  }
}

/// The bytes between us and a running plugin.
private struct Exchange {
  let input: [UInt8]
  let standardInput: Pipe
  let standardOutput: Pipe
  let standardError: Pipe
  var sent = 0
  var output: [UInt8] = []
  var errors: [UInt8] = []

  private static let largestErrors = 16 << 10

  init(input: [UInt8], standardInput: Pipe, standardOutput: Pipe, standardError: Pipe) {
    self.input = input
    self.standardInput = standardInput
    self.standardOutput = standardOutput
    self.standardError = standardError
  }

  /// Until the process has ended: children that it leaves behind may keep the pipes open for ever.
  mutating func run(until pidfd: Int32, end: ContinuousClock.Instant, isCancelled: () -> Bool) throws {
    for descriptor in [standardInput.writing, standardOutput.reading, standardError.reading] {
      try systemCall("fcntl") { fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    }
    while true {
      if isCancelled() { throw PluginProcess.Failure.cancelled }
      guard ContinuousClock.now < end else { throw PluginProcess.Failure.deadlinePassed }
      var waits = [
        pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0),
        pollfd(fd: standardInput.writing, events: Int16(POLLOUT), revents: 0),
        pollfd(fd: standardOutput.reading, events: Int16(POLLIN), revents: 0),
        pollfd(fd: standardError.reading, events: Int16(POLLIN), revents: 0),
      ]
      // Short enough to notice a cancellation.
      _ = try systemCall("poll") { poll(&waits, nfds_t(waits.count), 100) }
      if waits[1].revents != 0 { send() }
      if waits[2].revents != 0 { try receiveOutput() }
      if waits[3].revents != 0 { receiveErrors() }
      if waits[0].revents != 0 {
        try receiveOutput()
        receiveErrors()
        return
      }
    }
  }

  private mutating func send() {
    let rest = Array(input.dropFirst(sent).prefix(64 << 10))
    let count = rest.isEmpty ? 0 : write(standardInput.writing, rest, rest.count)
    if count > 0 { sent += count }
    // A plugin that does not read its configuration is free to.
    if sent == input.count || (count == -1 && errno != EAGAIN && errno != EINTR) { standardInput.closeWriting() }
  }

  private mutating func receiveOutput() throws {
    while let part = receive(from: standardOutput) {
      output += part
      if output.count > PluginProcess.largestOutput { throw PluginProcess.Failure.tooMuchOutput }
    }
  }

  private mutating func receiveErrors() {
    while let part = receive(from: standardError) { errors += part.prefix(max(Self.largestErrors - errors.count, 0)) }
  }

  /// Nil when there is nothing, or nothing more to come.
  private func receive(from pipe: Pipe) -> [UInt8]? {
    guard pipe.reading >= 0 else { return nil }
    var part = [UInt8](repeating: 0, count: 32 << 10)
    let count = read(pipe.reading, &part, part.count)
    if count > 0 { return Array(part.prefix(count)) }
    if count == 0 { pipe.closeReading() }
    return nil
  }
}

private final class OpenDescriptor {
  let number: Int32
  init(_ number: Int32) { self.number = number }
  deinit { close(number) }
}

/// Both ends of a pipe, closed with it at the latest; -1 is an end that was closed, which poll(2) ignores.
private final class Pipe {
  private(set) var reading: Int32
  private(set) var writing: Int32

  init() throws(SystemError) {
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe2") { bh_pipe(&ends) }
    (reading, writing) = (ends[0], ends[1])
  }

  deinit {
    closeReading()
    closeWriting()
  }

  func closeReading() {
    if reading >= 0 { close(reading) }
    reading = -1
  }

  func closeWriting() {
    if writing >= 0 { close(writing) }
    writing = -1
  }
}
