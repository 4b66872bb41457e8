/// Where a server is to be reached.
public enum Listener: Sendable {
  /// A unix socket with these permissions. A socket that nobody listens on any more is replaced; one
  /// that answers, or a file that is no socket, is an `AddressInUse` error.
  case unix(path: String, mode: UInt32 = 0o600)
  /// A vsock port. Connections from other CIDs than these are closed at once.
  case vsock(port: UInt32, acceptedCIDs: Set<UInt32>)
  /// A socket that listens already; the transport owns it from then.
  case descriptor(Int32)
}

/// The socket's path is taken.
public struct AddressInUse: Error, Sendable, Equatable, CustomStringConvertible {
  public let path: String
  public let reason: String

  public var description: String { "address in use: \(path): \(reason)" }
}
