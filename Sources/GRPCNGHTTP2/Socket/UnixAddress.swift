import CLinux
import Glibc
import LinuxSystem

/// A path as the kernel wants it.
enum UnixAddress {
  /// Calls `body` with the address of `path`. Throws ENAMETOOLONG for more than 107 bytes.
  static func withAddress<Result>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
  ) throws -> Result {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, !bytes.contains(0), bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw SystemError("bind", ENAMETOOLONG, subject: path)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return try withUnsafePointer(to: &address) {
      try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        try body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }

  static func makeSocket(_ family: Int32) throws(SystemError) -> Int32 {
    try systemCall("socket") {
      socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    }
  }

  /// A socket connected to `path`. On a unix socket that takes no time: it succeeds, fails, or fails
  /// with EAGAIN because the server's backlog is full.
  static func connect(_ path: String) throws -> Int32 {
    let descriptor = try makeSocket(AF_UNIX)
    do {
      try withAddress(path) { address, length in
        _ = try systemCall("connect", subject: path) { Glibc.connect(descriptor, address, length) }
      }
      return descriptor
    } catch {
      close(descriptor)
      throw error
    }
  }
}
