import CLinux
import Common
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Starts `bulkhead-vsock` for one machine. It goes on when the daemon ends, and ends when QEMU does.
enum VsockDeviceProcess {
  /// Returns when its sockets are there. Blocks for that long, at most five seconds.
  static func start(
    program: String, directory: MachineDirectory, uid: UInt32, gid: UInt32
  ) throws -> ProcessIdentity {
    guard access(program, X_OK) == 0 else {
      throw BulkheadError(
        .failedPrecondition, "this host has no /dev/vhost-vsock, and \(program), which stands in for it, is missing")
    }
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe2") { bh_pipe(&ends) }
    defer { close(ends[0]) }
    let pid: Int32
    do {
      defer { close(ends[1]) }
      pid = try spawnProcess(
        program,
        [
          "--vhost-socket", directory.vhostSocket, "--vsock-socket", directory.vsockSocket, "--guest-cid", "3",
          "--uid", "\(uid)", "--gid", "\(gid)",
        ], output: ends[1])
    }
    let said = readLine(ends[0], within: 5000)
    guard said == "ready", let identity = ProcessIdentity(pid: pid) else {
      kill(pid, SIGKILL)
      var status: Int32 = 0
      waitpid(pid, &status, 0)
      throw BulkheadError(.unavailable, "\(program) did not start: \(said.isEmpty ? "no answer" : printable(said))")
    }
    return identity
  }

  /// The first line that arrives, or what there was of it.
  private static func readLine(_ descriptor: Int32, within milliseconds: Int32) -> String {
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while line.count < 512 {
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, milliseconds) > 0, read(descriptor, &byte, 1) == 1, byte != UInt8(ascii: "\n") else {
        break
      }
      line.append(byte)
    }
    return String(decoding: line, as: UTF8.self)
  }
}
