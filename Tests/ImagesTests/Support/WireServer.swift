import Foundation
import Glibc
import LinuxSystem
import Synchronization

/// A server beneath HTTP: a script a connection reads and writes its bytes, on a thread of its own.
final class WireServer: Sendable {
  struct Wire: Sendable {
    fileprivate let socket: Int32
    /// The connection's number, from 0.
    let number: Int

    /// The next request up to the end of its head; nil where the client ended the connection.
    func request() -> String? {
      var bytes: [UInt8] = []
      while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) {
        var byte: UInt8 = 0
        guard recv(socket, &byte, 1, 0) == 1 else { return nil }
        bytes.append(byte)
      }
      return String(decoding: bytes, as: UTF8.self)
    }

    /// False once the client has ended the connection.
    @discardableResult func send(_ bytes: some Collection<UInt8>) -> Bool {
      let bytes = Array(bytes)
      var sent = 0
      while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count > 0 else { return false }
        sent += count
      }
      return true
    }

    @discardableResult func send(_ text: String) -> Bool { send(text.utf8) }

    /// Returns when the client has ended the connection.
    func awaitEnd() {
      var buffer = [UInt8](repeating: 0, count: 4096)
      while recv(socket, &buffer, buffer.count, 0) > 0 {}
    }

    /// The connection does not end but breaks: the client is sent a reset.
    func reset() {
      var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
      setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    /// Carries bytes both ways between the client and a port of the loopback, until either ends.
    func relay(to port: Int) throws {
      let other = try connection(to: port)
      let back = try startThread { [socket] in
        pump(from: other, to: socket)
        shutdown(socket, Int32(SHUT_RDWR))
      }
      pump(from: socket, to: other)
      shutdown(other, Int32(SHUT_RDWR))
      pthread_join(back, nil)
      close(other)
    }
  }

  let port: Int
  private let listener: Int32

  init(_ script: @escaping @Sendable (Wire) -> Void) throws {
    let listener = try systemCall("socket") { Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
    self.listener = listener
    let address = loopback(0)
    port = try address.withSockaddr { address, length in
      var bound = sockaddr_in()
      var boundLength = length
      _ = try systemCall("bind") { bind(listener, address, length) }
      _ = try systemCall("listen") { listen(listener, 64) }
      try withUnsafeMutablePointer(to: &bound) { pointer in
        try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
          _ = try systemCall("getsockname") { getsockname(listener, generic, &boundLength) }
        }
      }
      return Int(UInt16(bigEndian: bound.sin_port))
    }
    let thread = try startThread {
      for number in 0... {
        let socket = accept(listener, nil, nil)
        guard socket >= 0 else { break }
        guard
          let thread = try? startThread({
            script(Wire(socket: socket, number: number))
            close(socket)
          })
        else { break }
        pthread_detach(thread)
      }
      close(listener)
    }
    pthread_detach(thread)
  }

  deinit { shutdown(listener, Int32(SHUT_RDWR)) }

  var authority: String { "127.0.0.1:\(port)" }
}

private func loopback(_ port: Int) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = in_port_t(port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return address
}

private func connection(to port: Int) throws -> Int32 {
  let socket = try systemCall("socket") { Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
  try loopback(port).withSockaddr { address, length in
    _ = try systemCall("connect") { connect(socket, address, length) }
  }
  return socket
}

private func pump(from source: Int32, to target: Int32) {
  var buffer = [UInt8](repeating: 0, count: 64 << 10)
  while true {
    let count = recv(source, &buffer, buffer.count, 0)
    guard count > 0, send(target, buffer, count, Int32(MSG_NOSIGNAL)) == count else { return }
  }
}

extension sockaddr_in {
  fileprivate func withSockaddr<Result>(
    _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
  ) rethrows -> Result {
    try withUnsafePointer(to: self) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        try body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }
}
