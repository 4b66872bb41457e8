import CGuest
import Glibc
import LinuxSystem

/// Connects streams of the daemon's to ports on the pod's own loopback.
struct PortForwarder: Sendable {
  let reactor: Reactor

  /// To 127.0.0.1, else to ::1, as `localhost` is looked up; the first failure is the one that counts.
  func connect(_ port: UInt16) async throws -> AsyncDescriptor {
    do {
      return try await connect(port, version: 4)
    } catch let first as SystemError {
      do { return try await connect(port, version: 6) } catch is SystemError { throw first }
    }
  }

  private func connect(_ port: UInt16, version: Int32) async throws -> AsyncDescriptor {
    let descriptor = try systemCall("connect") { guest_connect_loopback(version, port) }
    let socket = try AsyncDescriptor(owning: descriptor, reactor: reactor)
    do {
      try await socket.connected()
      return socket
    } catch {
      socket.close()
      throw error
    }
  }
}
