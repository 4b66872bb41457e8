import Common
import FoundationEssentials
import Hypervisor
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A stream into a pod's guest that is no call, of which agent and daemon speak at the top of agent.proto.
struct GuestStream: Sendable {
  enum Purpose: Sendable {
    /// A connection to this port of the pod's own loopback.
    case port(UInt16)
    /// The output of a process that is told this name at its start.
    case output(name: Data)
    /// Questions about what the pod uses.
    case stats

    fileprivate var bytes: [UInt8] {
      switch self {
      case .port(let port): [0, UInt8(port >> 8), UInt8(truncatingIfNeeded: port)]
      case .output(let name): [1] + name
      case .stats: [2]
      }
    }
  }

  /// The vsock port that the agent takes streams on.
  static let vsockPort: UInt32 = 1025
  /// Read in one go.
  private static let chunk = 128 << 10

  private let descriptor: AsyncDescriptor

  /// `what` is what messages call it: "port 80 of pod a/b". Throws `unavailable` where the guest gives none,
  /// `deadlineExceeded` where it does not answer within `limit`.
  init(
    _ machine: any VirtualMachine, secret: String, for purpose: Purpose, called what: String, reactor: Reactor,
    within limit: Duration = .seconds(15)
  ) async throws {
    let end = ContinuousClock.now + limit
    let dialed = try await machine.dial(port: Self.vsockPort, within: min(limit, .seconds(5)))
    let descriptor = try AsyncDescriptor(owning: dialed, reactor: reactor)
    self.descriptor = descriptor
    let greeting = [UInt8(clamping: secret.utf8.count)] + Array(secret.utf8) + purpose.bytes
    let answer: UInt8?
    do {
      answer = try await withDeadline(max(end - .now, .zero), "connecting to \(what)") {
        try await Self.write(greeting, to: descriptor)
        return try await Self.read(descriptor, limit: 1)?.first
      }
    } catch {
      descriptor.close()
      if error is CancellationError || error is BulkheadError { throw error }
      throw BulkheadError(.unavailable, "\(what): the guest ended the connection", cause: error)
    }
    guard answer != 0 else { return }
    descriptor.close()
    throw BulkheadError(.unavailable, "\(what): \(Self.reason(answer))")
  }

  private static func reason(_ answer: UInt8?) -> String {
    switch answer.map(Int32.init) {
    case nil: "the guest ended the connection"
    case ECONNREFUSED: "connection refused: nothing listens there on 127.0.0.1 or ::1"
    case ETIMEDOUT: "connection timed out"
    case let number?: "cannot connect: \(String(cString: strerror(number)))"
    }
  }

  func close() { descriptor.close() }

  /// At least one byte, and at most 128 KiB; nil at the guest's end.
  func read() async throws -> Data? { try await Self.read(descriptor, limit: Self.chunk) }

  func write(_ bytes: some Collection<UInt8>) async throws { try await Self.write(bytes, to: descriptor) }

  /// The guest hears that nothing more comes.
  func endOutput() throws { try descriptor.shutdownOutput() }

  /// While it waits there is no memory held.
  private static func read(_ descriptor: AsyncDescriptor, limit: Int) async throws -> Data? {
    guard let block = try await descriptor.readBlock(limit: limit) else { return nil }
    return Data(bytesNoCopy: block.address, count: block.count, deallocator: .custom { _, _ in block.free() })
  }

  private static func write(_ bytes: some Collection<UInt8>, to descriptor: AsyncDescriptor) async throws {
    let block = MemoryBlock(copying: bytes)
    defer { block.free() }
    try await descriptor.write(block.bytes)
  }
}
