import Glibc
import LinuxSystem
import Testing

/// Streams to an agent that are no calls.
extension AgentHost {
  private static let reactor = Result { try Reactor.started() }

  /// A stream for `purpose`, as agent.proto has it, and the agent's answer; nil where it closed the stream instead.
  func stream(
    _ purpose: [UInt8], secret: String = AgentHost.secret
  ) async throws -> (answer: UInt8?, stream: AsyncDescriptor) {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: "\(directory)/socket.streams".utf8) }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(result == 0)
    let stream = try AsyncDescriptor(owning: descriptor, reactor: try Self.reactor.get())
    try await stream.send([UInt8(secret.utf8.count)] + Array(secret.utf8) + purpose)
    // A stream that is refused may end by a reset.
    return (try? await stream.receive(1).first, stream)
  }
}

extension AsyncDescriptor {
  func send(_ bytes: [UInt8]) async throws {
    let block = MemoryBlock(copying: bytes)
    defer { block.free() }
    try await write(block.bytes)
  }

  /// So many bytes, or all until the end.
  func receive(_ count: Int) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count, let block = try await readBlock(limit: min(count - bytes.count, 64 << 10)) {
      bytes += block.bytes
      block.free()
    }
    return bytes
  }
}
