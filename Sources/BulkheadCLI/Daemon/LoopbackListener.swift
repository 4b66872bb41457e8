import CLinux
import LinuxSystem

/// A listening socket on a loopback address.
struct LoopbackListener: Sendable {
  /// With its port: "127.0.0.1:8080".
  let name: String
  private let socket: AsyncDescriptor

  private enum Version: Int32 {
    case four = 4
    case six = 6
  }

  /// On 127.0.0.1 and, if this node has it, on ::1 with the same port; 0 is any free one.
  static func open(port: UInt16, _ reactor: Reactor) throws -> [LoopbackListener] {
    let descriptor: Int32
    do {
      descriptor = try systemCall("listen") { bh_listen_loopback(Version.four.rawValue, port) }
    } catch {
      throw CommandFailure("can't listen on 127.0.0.1:\(port): \(error)")
    }
    let taken = bh_local_port(descriptor)
    let first = LoopbackListener(
      name: "127.0.0.1:\(taken)", socket: try AsyncDescriptor(owning: descriptor, reactor: reactor))
    let second = bh_listen_loopback(Version.six.rawValue, taken)
    guard second >= 0 else { return [first] }
    let socket = try AsyncDescriptor(owning: second, reactor: reactor)
    return [first, LoopbackListener(name: "[::1]:\(taken)", socket: socket)]
  }

  /// Hands each connection to `handle`, in a task of its own, until the calling task is cancelled.
  func serve(_ handle: @escaping @Sendable (AsyncDescriptor) async -> Void) async throws {
    defer { socket.close() }
    try await withThrowingDiscardingTaskGroup { group in
      while true {
        do {
          let connection = try await socket.acceptConnection()
          group.addTask { await handle(connection) }
        } catch is SystemError {
          // Too many descriptors, or a peer that left before it was accepted.
          try await Task.sleep(for: .milliseconds(20))
        }
      }
    }
  }
}
