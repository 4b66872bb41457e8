import CLinux
import Glibc
import LinuxSystem

/// A connected, nonblocking stream socket, closed with the object.
final class StreamSocket {
  enum Transfer {
    case bytes(Int)
    case wouldBlock
    case endOfStream
  }

  let descriptor: Int32

  /// Owns `descriptor` from now, also on failure.
  init(owning descriptor: Int32) throws(SystemError) {
    self.descriptor = descriptor
    let flags = try systemCall("fcntl") { fcntl(descriptor, F_GETFL) }
    try systemCall("fcntl") { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
    try systemCall("fcntl") { fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
  }

  deinit { close(descriptor) }

  func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Transfer {
    let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
    if count > 0 { return .bytes(count) }
    if count == 0 { return .endOfStream }
    return try Self.transient("recv", errno)
  }

  /// Without SIGPIPE when the peer is gone.
  func send(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Transfer {
    let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
    if count >= 0 { return .bytes(count) }
    return try Self.transient("send", errno)
  }

  private static func transient(_ call: String, _ number: Int32) throws(SystemError) -> Transfer {
    switch number {
    case EAGAIN, EINTR: .wouldBlock
    default: throw SystemError(call, number)
    }
  }
}
