import CGuest
import GRPCCore
import Glibc
import LinuxSystem

/// Where the daemon's streams come in that are no calls.
public enum StreamAddress: Sendable {
  /// A vsock port; connections of the host's alone are taken.
  case vsock(port: UInt32)
  /// For agents that aren't in a virtual machine.
  case unix(path: String)

  /// The host's context id.
  static let host: UInt32 = 2

  /// A socket that listens.
  func listen() throws -> Int32 {
    switch self {
    case .vsock(let port): try systemCall("listen", subject: "vsock port \(port)") { guest_listen_vsock(port) }
    case .unix(let path): try systemCall("listen", subject: path) { guest_listen_unix(path) }
    }
  }
}
