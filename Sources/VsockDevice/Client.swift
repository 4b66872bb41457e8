#if canImport(Glibc)
  import Glibc
#endif

/// The host's end of a connection: a client's socket, and what waits for it.
final class Client {
  /// -1 once closed.
  private(set) var socket: Int32
  /// Something may be there to read: set by an event, cleared by EAGAIN.
  var mayRead = false
  /// Read to the end.
  var hasFinished = false
  /// Closed by the client, in both directions.
  var hasHungUp = false
  /// An event is asked for when the socket has room again.
  var awaitsRoom = false
  /// What could not be written yet.
  var backlog: ByteRing?

  init(socket: Int32) { self.socket = socket }
  deinit { closeSocket() }

  var isOpen: Bool { socket >= 0 }

  func closeSocket() {
    if socket >= 0 { close(socket) }
    socket = -1
    backlog = nil
    mayRead = false
  }

  /// Sends a short line; a client whose socket has no room for it loses it.
  func say(_ line: String) {
    var line = line
    _ = line.withUTF8 { bytes in
      send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
  }

  /// The handshake, once its line is there; the bytes after it are left in the socket.
  func readGreeting() -> (ClientGreeting, isEnded: Bool) {
    withUnsafeTemporaryAllocation(byteCount: ClientGreeting.maximumByteCount, alignment: 1) { buffer in
      let count = recv(socket, buffer.baseAddress, buffer.count, Int32(MSG_PEEK | MSG_DONTWAIT))
      guard count > 0 else { return (.incomplete, count == 0 || errno != EAGAIN) }
      let greeting = ClientGreeting(buffer.prefix(count))
      if case .connect(_, let byteCount) = greeting {
        recv(socket, buffer.baseAddress, byteCount, Int32(MSG_DONTWAIT))
      }
      return (greeting, false)
    }
  }
}
