import Glibc
import LinuxSystem
import Synchronization

/// Takes the daemon's streams that are no calls (agent.proto, at its top, has the few bytes that come first) and brings
/// each to what it is for. Each is for itself: what breaks one is told to it alone.
struct HostStreams: Sendable {
  let address: StreamAddress
  let secret: [UInt8]
  let reactor: Reactor
  let output: OutputStreams
  let pod: Pod

  private enum Purpose {
    case port(UInt16)
    case output(name: [UInt8])
    case stats
  }

  /// Streams at once. What each holds is bounded by `AsyncDescriptor.relay`.
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
        let stream = try AsyncDescriptor(owning: descriptor, reactor: reactor)
        guard cid ?? StreamAddress.host == StreamAddress.host, count.value.load(ordering: .relaxed) < Self.limit
        else { continue }
        count.value.add(1, ordering: .relaxed)
        group.addTask {
          await serve(stream)
          count.value.subtract(1, ordering: .relaxed)
        }
      }
    }
  }

  private final class Counter: Sendable {
    let value = Atomic(0)
  }

  /// Closing is all that a stream can be told of what fails here.
  private func serve(_ stream: AsyncDescriptor) async {
    switch try? await within(Self.greetingTime, { try await greeting(stream) }) {
    case .port(let port)?:
      defer { stream.close() }
      try? await forward(stream, to: port)
    case .output(let name)?: await output.offer(stream, as: name) { try await answer(0, stream) }
    case .stats?: try? await StatsServer(pod: pod).serve(stream) { try await answer(0, stream) }
    case nil: stream.close()
    }
  }

  private func forward(_ stream: AsyncDescriptor, to port: UInt16) async throws {
    let server: AsyncDescriptor
    do {
      let connected = try await within(Self.connectTime) { try await PortForwarder(reactor: reactor).connect(port) }
      guard let connected else { throw SystemError("connect", ETIMEDOUT) }
      server = connected
    } catch {
      let number = (error as? SystemError)?.number ?? ETIMEDOUT
      return try await answer(UInt8(clamping: number), stream)
    }
    defer { server.close() }
    try await answer(0, stream)
    try await AsyncDescriptor.relay(stream, server)
  }

  /// What the stream is for; throws for a caller that doesn't know the secret or asks for what isn't there.
  private func greeting(_ stream: AsyncDescriptor) async throws -> Purpose {
    let head = try await bytes(1, stream)
    guard Int(head[0]) == secret.count, !secret.isEmpty else { throw SystemError("greeting", EACCES) }
    let offered = try await bytes(secret.count, stream)
    guard zip(offered, secret).reduce(0, { $0 | ($1.0 ^ $1.1) }) == 0 else { throw SystemError("greeting", EACCES) }
    switch try await bytes(1, stream)[0] {
    case 0: return .port(try await bytes(2, stream).reduce(0) { $0 << 8 | UInt16($1) })
    case 1: return .output(name: try await bytes(OutputStreams.nameSize, stream))
    case 2: return .stats
    default: throw SystemError("greeting", EINVAL)
    }
  }

  /// Exactly so many bytes: what follows them is the stream's.
  private func bytes(_ count: Int, _ stream: AsyncDescriptor) async throws -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
    defer { buffer.deallocate() }
    var filled = 0
    while filled < count {
      let got = try await stream.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
      guard got > 0 else { throw SystemError("read", ECONNRESET) }
      filled += got
    }
    return Array(buffer)
  }

  private func answer(_ byte: UInt8, _ stream: AsyncDescriptor) async throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { buffer.deallocate() }
    buffer[0] = byte
    try await stream.write(UnsafeRawBufferPointer(buffer))
  }
}
