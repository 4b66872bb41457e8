import CLinux
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Ends QEMU in a way that libvirt takes note of at once.
///
/// libvirt ends a machine with SIGTERM and looks again after 0.2 s, which would be most of what
/// stopping a pod takes. SIGKILL is as good: what a guest wrote to a disk is with the host's kernel by
/// then, and no disk of a machine outlives it. But a dying process closes its files well before it is
/// gone, so libvirt would see its monitor connection end, find QEMU there still, and again look only
/// after 0.2 s. So a copy of the connection keeps it open for as long as the dying takes.
struct MachineKill {
  let process: ProcessIdentity

  /// Blocks until the process has gone and is reaped, at most two seconds.
  func run() {
    let monitor = monitorConnection()
    defer { if let monitor { close(monitor) } }
    guard process.signal(SIGKILL) else { return }
    for _ in 0..<2000 {
      // The watcher reaps it, if it is ours to reap.
      if kill(process.pid, 0) == -1 { return }
      usleep(1000)
    }
  }

  /// Nil if there is none to be found: then libvirt takes its time.
  private func monitorConnection() -> Int32? {
    let pidfd = bh_pidfd_open(process.pid)
    guard pidfd >= 0 else { return nil }
    defer { close(pidfd) }
    // The lowest are the standard ones, and QEMU has its monitor among the next.
    for number in Int32(3)..<64 {
      let copy = bh_pidfd_getfd(pidfd, number)
      guard copy >= 0 else { continue }
      if isMonitor(copy) { return copy }
      close(copy)
    }
    return nil
  }

  /// The connection, whose own address is that of the socket that it was accepted on.
  private func isMonitor(_ descriptor: Int32) -> Bool {
    var address = sockaddr_un()
    var length = socklen_t(MemoryLayout<sockaddr_un>.size)
    let named = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    guard named == 0, address.sun_family == sa_family_t(AF_UNIX) else { return false }
    var listening: Int32 = 1
    var size = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0, listening == 0 else {
      return false
    }
    let path = withUnsafeBytes(of: address.sun_path) { $0.prefix { $0 != 0 } }
    return Array(path).suffix(13) == Array("/monitor.sock".utf8)[...]
  }
}
