import CLinux
import Common
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Starts virtiofsd for a share of one machine, in its own sandbox (namespaces, seccomp, fewer
/// capabilities). Not by libvirt, whose version 9.0 crashes on it where a machine has no cgroup of
/// libvirt's making. It goes on when the daemon ends, and ends when QEMU does.
enum ShareServer {
  /// Returns as soon as the socket is there, which is before virtiofsd is: a connection waits for it. Changes
  /// the calling thread: it must end afterwards.
  static func start(
    program: String, sharing directory: String, at socketPath: String, owner: (uid: UInt32, gid: UInt32)
  ) throws -> ProcessIdentity {
    guard access(program, X_OK) == 0 else {
      throw BulkheadError(.failedPrecondition, "\(program) is missing; run: apt-get install -y qemu-system-common")
    }
    // virtiofsd takes its options from one string, in which these end or change a word.
    guard !directory.utf8.contains(where: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "\\") }) else {
      throw BulkheadError(
        .invalidArgument, "\(printable(directory)) cannot be shared: its path has a comma or a backslash")
    }
    let listener = try listen(at: socketPath, owner: owner)
    defer { close(listener) }
    // It makes files as the user who asks, but that user has no supplementary groups then: a directory that is
    // writable by one (Kubernetes' fsGroup) would refuse him. The guest's kernel has checked already, so it
    // keeps its capabilities while it does so.
    try systemCall("prctl") { bh_keep_capabilities_across_users() }
    // Without posix_acl: the guest's kernel (6.1) doesn't look at access lists below a submount, and lists that
    // can be set and don't count are worse than none.
    let options = "\(source(directory)),announce_submounts,xattr,log_level=err"
    let pid = try spawnProcess(program, ["--fd=3", "-f", "-o", options], output: nil, passing: listener)
    guard let identity = ProcessIdentity(pid: pid) else {
      waitpid(pid, nil, 0)
      throw BulkheadError(.unavailable, "\(program) ended at once")
    }
    return identity
  }

  /// Those of a daemon that was killed before it had written down which process that is.
  static func running(sharing directory: String) -> [ProcessIdentity] {
    let option = Array("\(source(directory)),".utf8)
    return ProcessIdentity.running { arguments in arguments.contains { $0.starts(with: option) } }
  }

  private static func source(_ directory: String) -> String { "source=\(directory)" }

  private static func listen(at path: String, owner: (uid: UInt32, gid: UInt32)) throws(SystemError) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw SystemError("bind", ENAMETOOLONG, subject: path)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    try removeFile(path)
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let listener = try systemCall("socket") { socket(AF_UNIX, type, 0) }
    do throws(SystemError) {
      // Its mode decides who may connect, so nobody may before it has its owner.
      try systemCall("fchmod", subject: path) { fchmod(listener, 0o600) }
      try systemCall("bind", subject: path) {
        withUnsafePointer(to: &address) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
          }
        }
      }
      try systemCall("chmod", subject: path) { chmod(path, 0o600) }
      try systemCall("chown", subject: path) { chown(path, owner.uid, owner.gid) }
      try systemCall("listen", subject: path) { Glibc.listen(listener, 1) }
    } catch {
      close(listener)
      throw error
    }
    return listener
  }
}
