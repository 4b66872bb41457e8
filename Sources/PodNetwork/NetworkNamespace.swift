import CLinux
import Common
import Glibc
import LinuxSystem
import Netlink

/// A network namespace that outlives every process in it, because it is bind-mounted on a file, as
/// `ip netns` keeps them (ip-netns(8)).
public enum NetworkNamespace {
  /// Makes a new namespace with nothing but its loopback interface, up, and mounts it on `path`, whose
  /// directory must exist. On error nothing is left. Runs on a thread of its own, which ends with the new
  /// namespace.
  public static func create(at path: String) async throws {
    do {
      try await onNamespaceThread {
        let file = try systemCall("open", subject: path) { open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        close(file)
        do {
          try systemCall("unshare") { bh_unshare(bh_CLONE_NEWNET) }
          try raiseLoopback()
          try systemCall("mount", subject: path) { bh_bind_mount("/proc/thread-self/ns/net", path) }
        } catch {
          unlink(path)
          throw error
        }
      }
    } catch {
      throw BulkheadError(.internalError, "cannot make a network namespace at \(path)", cause: error)
    }
  }

  private static func raiseLoopback() throws(SystemError) {
    var socket = try NetlinkSocket()
    for link in try socket.links() where link.isLoopback { try socket.change(link: link.index, LinkChange(isUp: true)) }
  }

  /// Runs `body` on a thread of its own inside the namespace: what it opens there belongs to it.
  public static func run<Result: Sendable>(
    in path: String, _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await onNamespaceThread {
      let namespace = try systemCall("open", subject: path) { open(path, O_RDONLY | O_CLOEXEC) }
      defer { close(namespace) }
      try systemCall("setns", subject: path) { bh_setns(namespace, bh_CLONE_NEWNET) }
      return try body()
    }
  }

  /// Unmounts and removes what `create` made. Succeeds if it is gone, or half there.
  public static func delete(at path: String) async throws {
    do {
      try await onDedicatedThread {
        while bh_detach_mount(path) == 0 {}
        guard errno == EINVAL || errno == ENOENT else { throw SystemError("umount", errno, subject: path) }
        guard unlink(path) == 0 || errno == ENOENT else { throw SystemError("unlink", errno, subject: path) }
      }
    } catch {
      throw BulkheadError(.internalError, "cannot remove the network namespace at \(path)", cause: error)
    }
  }
}
