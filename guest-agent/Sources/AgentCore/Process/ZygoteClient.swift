import CGuest
import ContainerInit
import Glibc
import LinuxSystem
import Synchronization

/// Starts the zygote (this executable once more) and asks it to fork. All calls may block for as long as the
/// zygote takes to start.
final class ZygoteClient: Sendable {

  /// Our end of the zygote's socket; -1: it does not run.
  private let control = Mutex<Int32>(-1)

  /// Starts the zygote, unless it runs.
  func start() throws {
    try control.withLock { control in
      if control < 0 { control = try Self.spawn() }
    }
  }

  /// Sends one request and returns the socket on which the answers come. The descriptors stay the caller's.
  /// A zygote that died is started again, once.
  func request(
    _ request: ForkRequest, job: [UInt8], streams: [Int32], cgroup: Int32, target: Int32? = nil
  ) throws -> Descriptor {
    let jobFile = try memoryFile(job)
    var ends: [Int32] = [-1, -1]
    try systemCall("socketpair") { socketpair(AF_UNIX, seqpacket | cloexec, 0, &ends) }
    let ours = Descriptor(owning: ends[0])
    let theirs = Descriptor(owning: ends[1])
    let descriptors = [jobFile.number, theirs.number] + streams + [cgroup] + (target.map { [$0] } ?? [])
    do {
      try send(request, descriptors)
    } catch let error as SystemError where error.number == EPIPE || error.number == ECONNRESET {
      control.withLock { control in
        close(control)
        control = -1
      }
      try send(request, descriptors)
    }
    return ours
  }

  private func send(_ request: ForkRequest, _ descriptors: [Int32]) throws {
    try start()
    try MessageSocket(control.withLock { $0 }).send(request, descriptors: descriptors)
  }

  private func memoryFile(_ bytes: [UInt8]) throws -> Descriptor {
    let file = Descriptor(owning: try systemCall("memfd_create") { guest_memory_file("job") })
    try writeAll(bytes, to: file.number, subject: "job")
    return file
  }

  private static func spawn() throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    try systemCall("socketpair") { socketpair(AF_UNIX, seqpacket | cloexec, 0, &ends) }
    let ours = Descriptor(owning: ends[0])
    let theirs = Descriptor(owning: ends[1])
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, theirs.number, 3)
    let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("bulkhead-agent"), strdup(zygoteArgument), nil]
    defer { arguments.forEach { free($0) } }
    let environment: [UnsafeMutablePointer<CChar>?] = [nil]
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, "/proc/self/exe", &actions, nil, arguments, environment)
    guard failure == 0 else { throw SystemError("posix_spawn", failure, subject: zygoteArgument) }
    return ours.release()
  }
}

private let seqpacket = Int32(SOCK_SEQPACKET.rawValue)
private let cloexec = Int32(SOCK_CLOEXEC.rawValue)
