import CLinux
import Common
import LinuxSystem
import Testing
import VsockClient
import TestSupport

@testable import VsockDevice

#if canImport(Glibc)
  import Glibc
#endif

/// The real executable: what its parent sees, what it keeps of its privileges, how it ends.
@Suite(.serialized) struct ExecutableTests {
  private let directory: String
  private var vhostPath: String { directory + "/vhost" }
  private var vsockPath: String { directory + "/vsock" }
  /// Root's tests run the device as nobody; others as themselves, for they may not change.
  private static let isRoot = geteuid() == 0
  private static let user = isRoot ? 65534 : getuid()
  private static let group = isRoot ? 65534 : getgid()

  init() throws {
    var template = Array("/tmp/bulkhead-vsock-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", errno) }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func cleanUp() {
    unlink(vhostPath)
    unlink(vsockPath)
    rmdir(directory)
  }

  private func start() throws -> Child {
    try Child([
      "--vhost-socket", vhostPath, "--vsock-socket", vsockPath, "--guest-cid", "\(SimulatedMachine.cid)",
      "--uid", "\(Self.user)", "--gid", "\(Self.group)",
    ])
  }

  @Test func servesUnderItsFilterAndEndsWithQEMU() throws {
    defer { cleanUp() }
    let child = try start()
    #expect(try child.output() == "ready\n", "and then its standard output is closed")
    let machine = try SimulatedMachine(socketPath: vhostPath)
    let path = vsockPath
    let dialing = try Background {
      HostClient(try HybridVsock.connect(socketPath: path, port: 1024, timeout: .seconds(5)))
    }
    var stream = try GuestStream(accepting: machine)
    let client = try dialing.value()
    // Far enough that a backlog is needed, credit flows, and memory is allocated and freed.
    let bytes = [UInt8](repeating: 7, count: 60_000)
    for _ in 0..<6 { try stream.send(.payload, bytes) }
    for _ in 0..<6 { #expect(try client.read(bytes.count) == bytes) }
    try client.write(Array("to the guest".utf8))
    #expect(try stream.receive().payload == Array("to the guest".utf8))
    client.finishWriting()
    #expect(try stream.receive().header.operation == .shutdown)
    client.close()
    shutdown(machine.socket, Int32(SHUT_RDWR))
    #expect(try child.exitStatus() == 0)
    #expect(try child.errors() == "")
  }

  @Test func keepsNoPrivilege() async throws {
    defer { cleanUp() }
    let child = try start()
    _ = try child.output()
    try await eventually("its filter, right after it is ready") { try child.status().contains("Seccomp:\t2") }
    let status = try child.status()
    for line in ["NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"] {
      #expect(status.contains(line))
    }
    #expect(status.contains("Uid:\t\(Self.user)\t\(Self.user)\t\(Self.user)\t\(Self.user)"))
    if Self.isRoot { #expect(status.contains("CapBnd:\t0000000000000000") && status.contains("Groups:\t \n")) }
    #expect(getsid(child.pid) == child.pid)
    for path in [vhostPath, vsockPath] {
      var information = stat()
      #expect(stat(path, &information) == 0)
      #expect(information.st_mode & 0o777 == 0o600)
      #expect(information.st_uid == (path == vhostPath ? Self.user : getuid()))
    }
    kill(child.pid, SIGTERM)
    _ = try child.exitStatus()
  }

  @Test func aBadGuestEndsItWithAMessage() throws {
    defer { cleanUp() }
    let child = try start()
    _ = try child.output()
    let machine = try SimulatedMachine(socketPath: vhostPath)
    machine.writeDescriptor(
      machine.transmitRing.descriptors, 0, .init(address: 0, length: 44, flags: [], next: 0))
    machine.makeAvailable(&machine.transmitRing, head: 0)
    machine.kick(machine.transmitRing)
    #expect(try child.exitStatus() == 1)
    #expect(try child.errors() == "bulkhead-vsock: the guest used a buffer outside its memory (at 0, 44 bytes)\n")
  }

  @Test func aSocketThatIsThereAlreadyIsAnError() throws {
    defer { cleanUp() }
    let first = try start()
    _ = try first.output()
    let second = try start()
    #expect(try second.output() == "")
    #expect(try second.exitStatus() == 1)
    #expect(try second.errors() == "bulkhead-vsock: bind \(vhostPath): Address already in use\n")
    kill(first.pid, SIGTERM)
    _ = try first.exitStatus()
  }

  @Test(arguments: [
    (["--frob"], "unknown argument --frob"), ([], "--vhost-socket is missing"),
    (["--uid"], "--uid needs a value"), (["--uid", "1", "--uid=2"], "--uid is given twice"),
    (
      ["--vhost-socket=a", "--vsock-socket=b", "--guest-cid", "2"],
      "--guest-cid must be a number from 3 to 4294967294, not 2"
    ),
  ])
  func wrongUseIsExplained(arguments: [String], message: String) throws {
    defer { cleanUp() }
    let child = try Child(arguments)
    #expect(try child.exitStatus() == 2)
    #expect(try child.errors() == "bulkhead-vsock: \(message); see --help\n")
  }

  @Test func helpAndVersionAreShown() throws {
    defer { cleanUp() }
    let help = try Child(["--help"])
    #expect(try help.output().hasPrefix("usage: bulkhead-vsock "))
    #expect(try help.exitStatus() == 0)
    let version = try Child(["--version"])
    #expect(try version.output() == "bulkhead-vsock \(bulkheadVersion)\n")
    #expect(try version.exitStatus() == 0)
  }
}

/// The executable, which the build puts beside this test's.
private final class Child {
  let pid: pid_t
  private let standardOutput: Int32
  private let standardError: Int32

  init(_ arguments: [String]) throws {
    var own = [UInt8](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &own, own.count)
    let directory = String(decoding: own.prefix(max(count, 0)), as: UTF8.self).split(separator: "/").dropLast()
    let path = "/" + directory.joined(separator: "/") + "/bulkhead-vsock"
    var (output, errors) = ([Int32](repeating: 0, count: 2), [Int32](repeating: 0, count: 2))
    guard pipe(&output) == 0, pipe(&errors) == 0 else { throw SystemError("pipe", errno) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, output[1], 1)
    posix_spawn_file_actions_adddup2(&actions, errors[1], 2)
    // The ends that are ours, or another child that keeps one open hides this one's end.
    for descriptor in output + errors { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    var words = ([path] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, path, &actions, nil, &words, nil)
    close(output[1])
    close(errors[1])
    guard failure == 0 else { throw SystemError("posix_spawn", failure, subject: path) }
    self.pid = pid
    standardOutput = output[0]
    standardError = errors[0]
  }

  deinit {
    close(standardOutput)
    close(standardError)
  }

  /// All of it: until the child closes it.
  func output() throws -> String { try text(standardOutput) }
  func errors() throws -> String { try text(standardError) }
  func status() throws -> String {
    let descriptor = try systemCall("open") { open("/proc/\(pid)/status", O_RDONLY | O_CLOEXEC) }
    defer { close(descriptor) }
    return try text(descriptor)
  }

  private func text(_ descriptor: Int32) throws -> String {
    String(decoding: try HostClient(descriptor).readToEnd(), as: UTF8.self)
  }

  /// 128 and the signal, if one ended it; after ten seconds ours does.
  func exitStatus() throws -> Int32 {
    var status: Int32 = 0
    let end = ContinuousClock.now + .seconds(10)
    while try systemCall("waitpid", { waitpid(pid, &status, WNOHANG) }) == 0 {
      if ContinuousClock.now > end { kill(pid, SIGKILL) }
      usleep(2000)
    }
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
  }
}
