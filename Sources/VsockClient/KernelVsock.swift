import CLinux
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Streams to a guest through the host kernel's vhost-vsock. Blocks: call it from a thread of its own.
public enum KernelVsock {
  /// Whether this host can give guests a vsock device of the kernel's.
  public static var isAvailable: Bool { access("/dev/vhost-vsock", R_OK | W_OK) == 0 }

  /// Connects to `port` of the guest with context id `cid`; the caller owns the descriptor, which is
  /// blocking and close-on-exec.
  public static func connect(cid: UInt32, port: UInt32, timeout: Duration) throws(VsockError) -> Int32 {
    let deadline = Deadline(after: timeout)
    let descriptor = try open(AF_VSOCK)
    do throws(VsockError) {
      try dial(descriptor, cid, port, deadline)
      try setBlocking(descriptor)
    } catch {
      close(descriptor)
      throw error
    }
    return descriptor
  }

  private static func dial(
    _ descriptor: Int32, _ cid: UInt32, _ port: UInt32, _ deadline: Deadline
  ) throws(VsockError) {
    var address = sockaddr_vm()
    address.svm_family = sa_family_t(AF_VSOCK)
    address.svm_cid = cid
    address.svm_port = port
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_vm>.size))
      }
    }
    if result == 0 { return }
    guard errno == EINPROGRESS || errno == EINTR else { throw failure(errno, cid, port) }
    try wait(descriptor, POLLOUT, deadline)
    var number: Int32 = 0
    var size = socklen_t(MemoryLayout.size(ofValue: number))
    guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &size) == 0 else {
      throw .system(SystemError("getsockopt", errno))
    }
    if number != 0 { throw failure(number, cid, port) }
  }

  private static func failure(_ number: Int32, _ cid: UInt32, _ port: UInt32) -> VsockError {
    switch number {
    case ECONNRESET, ECONNREFUSED: return .refused("connection refused by the guest")
    case ETIMEDOUT: return .timedOut
    default: return .system(SystemError("connect", number, subject: "to vsock \(cid):\(port)"))
    }
  }
}
