import Common
import FoundationEssentials
import Hypervisor
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A connection to a port on a pod's own loopback: a stream of vsock, which agent and daemon speak of at the
/// top of agent.proto.
struct PortConnection: Sendable {
  /// The vsock port that the agent serves connections on.
  static let vsockPort: UInt32 = 1025
  private static let greetingTime: Duration = .seconds(15)
  /// Read in one go.
  private static let chunk = 128 << 10

  private let stream: AsyncDescriptor

  /// `pod` is what messages call it. Throws `unavailable` where nothing listens.
  init(_ machine: any VirtualMachine, secret: String, port: UInt16, pod: String, reactor: Reactor) async throws {
    let stream = try AsyncDescriptor(owning: try await machine.dial(port: Self.vsockPort), reactor: reactor)
    self.stream = stream
    let greeting =
      [UInt8(clamping: secret.utf8.count)] + Array(secret.utf8) + [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)]
    let answer: UInt8?
    do {
      answer = try await withDeadline(Self.greetingTime, "connecting to port \(port) of pod \(pod)") {
        try await stream.write(greeting)
        return try await stream.readData(limit: 1)?.first
      }
    } catch {
      stream.close()
      if error is CancellationError || error is BulkheadError { throw error }
      throw BulkheadError(.unavailable, "port \(port) of pod \(pod): the guest ended the connection", cause: error)
    }
    guard answer != 0 else { return }
    stream.close()
    throw BulkheadError(.unavailable, "port \(port) of pod \(pod): \(Self.reason(answer))")
  }

  private static func reason(_ answer: UInt8?) -> String {
    switch answer.map(Int32.init) {
    case nil: "the guest ended the connection"
    case ECONNREFUSED: "connection refused: nothing listens there on 127.0.0.1 or ::1"
    case ETIMEDOUT: "connection timed out"
    case let number?: "cannot connect: \(String(cString: strerror(number)))"
    }
  }

  /// Joins a client until both halves have ended or either side fails. Closes the connection.
  func join(_ client: some PortClient) async throws {
    defer { stream.close() }
    try await client.connected()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for try await bytes in client.input { try await stream.write(bytes) }
        try stream.shutdownOutput()
      }
      group.addTask {
        while let bytes = try await stream.readData(limit: Self.chunk) { try await client.write(bytes) }
        try await client.closeOutput()
      }
      defer { group.cancelAll() }
      try await group.next()
      try await group.next()
    }
  }
}

extension AsyncDescriptor {
  /// At least one byte and at most `limit`; nil at the end. While it waits there is no memory held.
  func readData(limit: Int) async throws -> Data? {
    guard let block = try await readBlock(limit: limit) else { return nil }
    return Data(bytesNoCopy: block.address, count: block.count, deallocator: .custom { _, _ in block.free() })
  }

  func write(_ bytes: some Collection<UInt8>) async throws {
    let block = MemoryBlock(copying: bytes)
    defer { block.free() }
    try await write(block.bytes)
  }
}
