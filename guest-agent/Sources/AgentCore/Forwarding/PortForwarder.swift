import CGuest
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// Joins streams of the daemon's to ports on the pod's own loopback (agent.proto, at its top, has the few
/// bytes that come before). Each connection is for itself: what breaks one is told to it alone.
struct PortForwarder: Sendable {
  let address: ForwardingAddress
  let secret: [UInt8]
  let reactor: Reactor

  /// Connections at once. What each holds is bounded by `AsyncDescriptor.relay`.
  private static let limit = 512
  private static let greetingTime = Duration.seconds(10)
  private static let connectTime = Duration.seconds(10)

  /// Serves until the listening socket fails.
  func run() async throws {
    let listener = try AsyncDescriptor(owning: try address.listen(), reactor: reactor)
    let count = Counter()
    try await withThrowingDiscardingTaskGroup { group in
      while true {
        let (descriptor, cid): (Int32, UInt32?)
        do {
          (descriptor, cid) = try await listener.accept()
        } catch let error as SystemError where error.number != EBADF {
          // Too many descriptors, or a peer that left before it was accepted.
          try await Task.sleep(for: .milliseconds(20))
          continue
        }
        let connection = try AsyncDescriptor(owning: descriptor, reactor: reactor)
        guard cid ?? ForwardingAddress.host == ForwardingAddress.host, count.value.load(ordering: .relaxed) < Self.limit
        else { continue }
        count.value.add(1, ordering: .relaxed)
        group.addTask {
          await serve(connection)
          count.value.subtract(1, ordering: .relaxed)
        }
      }
    }
  }

  private final class Counter: Sendable {
    let value = Atomic(0)
  }

  private func serve(_ connection: AsyncDescriptor) async {
    defer { connection.close() }
    do {
      let port = try await within(Self.greetingTime) { try await greeting(connection) }
      guard let port else { return }
      let server: AsyncDescriptor
      do {
        server = try await within(Self.connectTime) { try await connect(port) }
      } catch {
        let number = (error as? SystemError)?.number ?? ETIMEDOUT
        return try await answer(UInt8(clamping: number), connection)
      }
      defer { server.close() }
      try await answer(0, connection)
      try await AsyncDescriptor.relay(connection, server)
    } catch {
      // Closing is all that either side can be told.
    }
  }

  /// The port that is asked for; nil for a caller that doesn't know the secret.
  private func greeting(_ connection: AsyncDescriptor) async throws -> UInt16? {
    guard let length = try await bytes(1, connection).first, Int(length) == secret.count, !secret.isEmpty else {
      return nil
    }
    let offered = try await bytes(secret.count, connection)
    guard zip(offered, secret).reduce(0, { $0 | ($1.0 ^ $1.1) }) == 0 else { return nil }
    let port = try await bytes(2, connection)
    return port.reduce(0) { $0 << 8 | UInt16($1) }
  }

  /// Exactly so many bytes: what follows them is the stream's.
  private func bytes(_ count: Int, _ connection: AsyncDescriptor) async throws -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
    defer { buffer.deallocate() }
    var filled = 0
    while filled < count {
      let got = try await connection.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
      guard got > 0 else { throw SystemError("read", ECONNRESET) }
      filled += got
    }
    return Array(buffer)
  }

  private func answer(_ byte: UInt8, _ connection: AsyncDescriptor) async throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { buffer.deallocate() }
    buffer[0] = byte
    try await connection.write(UnsafeRawBufferPointer(buffer))
  }

  /// To 127.0.0.1, else to ::1, as `localhost` is looked up; the first failure is the one that counts.
  private func connect(_ port: UInt16) async throws -> AsyncDescriptor {
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

/// Runs `body`, and throws ETIMEDOUT when it takes longer.
private func within<Result: Sendable>(
  _ limit: Duration, _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
  try await withThrowingTaskGroup(of: Result?.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await Task.sleep(for: limit)
      return nil
    }
    defer { group.cancelAll() }
    guard let result = try await group.next() ?? nil else { throw SystemError("wait", ETIMEDOUT) }
    return result
  }
}
