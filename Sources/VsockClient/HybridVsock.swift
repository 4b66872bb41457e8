import CLinux
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Why a port of a guest could not be reached.
public enum VsockError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Nothing listens at the port, or the guest has no room; the device's own words.
  case refused(String)
  case timedOut
  /// The device answered with something that is not the handshake, or ended in its middle.
  case badAnswer
  case system(SystemError)

  public var description: String {
    switch self {
    case .refused(let reason): return reason
    case .timedOut: return "no answer from the guest in time"
    case .badAnswer: return "the vsock device did not answer as it should"
    case .system(let error): return error.description
    }
  }
}

/// Streams to a guest through the unix socket of a vhost-user-vsock device, by the hybrid vsock
/// handshake. Blocks: call it from a thread of its own.
public enum HybridVsock {
  /// Connects to `port` of the guest behind the device's socket; the caller owns the descriptor, which
  /// is blocking and close-on-exec. `timeout` is for the whole of it.
  public static func connect(
    socketPath: String, port: UInt32, timeout: Duration
  ) throws(VsockError) -> Int32 {
    let deadline = Deadline(after: timeout)
    let descriptor = try open(AF_UNIX)
    do throws(VsockError) {
      try dial(descriptor, socketPath, deadline)
      try write("CONNECT \(port)\n", to: descriptor)
      try readAnswer(descriptor, deadline)
      try setBlocking(descriptor)
    } catch {
      close(descriptor)
      throw error
    }
    return descriptor
  }

  private static func dial(_ descriptor: Int32, _ path: String, _ deadline: Deadline) throws(VsockError) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw .system(SystemError("connect", ENAMETOOLONG, subject: path))
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    while true {
      let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      if result == 0 { return }
      let failure = errno
      // A unix socket whose backlog is full answers EAGAIN, and poll(2) does not wait for that.
      guard failure == EAGAIN || failure == EINTR else { throw .system(SystemError("connect", failure, subject: path)) }
      guard deadline.remainingMilliseconds > 0 else { throw .timedOut }
      usleep(1000)
    }
  }

  private static func write(_ line: String, to descriptor: Int32) throws(VsockError) {
    let bytes = Array(line.utf8)
    let count = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    // A device that has no room says so and hangs up without hearing us out: read on.
    if count < 0, errno == EPIPE { return }
    guard count == bytes.count else { throw count < 0 ? .system(SystemError("send", errno)) : .badAnswer }
  }

  /// Byte by byte: what follows the line is the stream's, and stays in the socket.
  private static func readAnswer(_ descriptor: Int32, _ deadline: Deadline) throws(VsockError) {
    var line: [UInt8] = []
    while line.count < 256 {
      try wait(descriptor, POLLIN, deadline)
      var byte: UInt8 = 0
      let count = recv(descriptor, &byte, 1, 0)
      if count < 0, errno == EAGAIN || errno == EINTR { continue }
      guard count == 1 else { throw .badAnswer }
      guard byte == UInt8(ascii: "\n") else {
        line.append(byte)
        continue
      }
      let text = String(decoding: line, as: UTF8.self)
      if text.hasPrefix("OK ") { return }
      if text.hasPrefix("ERR ") { throw .refused(String(text.dropFirst(4))) }
      throw .badAnswer
    }
    throw .badAnswer
  }
}
