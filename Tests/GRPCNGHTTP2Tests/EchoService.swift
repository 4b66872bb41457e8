import GRPCCore
import GRPCNGHTTP2
import Synchronization

/// Messages that are their own bytes.
struct BytesCoder: MessageSerializer, MessageDeserializer {
  func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }

  func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] {
    bytes.withUnsafeBytes { Array($0) }
  }
}

/// The methods that the tests call. Python's counterpart is Resources/echo_server.py.
struct EchoService: RegistrableRPCService {
  /// What handlers saw, for tests to wait for.
  final class Log: Sendable {
    private let lines = Mutex<[String]>([])

    func add(_ line: String) { lines.withLock { $0.append(line) } }
    /// As a task, and as GRPCCore's handle shows it.
    var sawCancellation: Bool { contains("task cancelled") && contains("RPC cancelled") }
    func count(_ line: String) -> Int { lines.withLock { $0.count { $0 == line } } }
    func contains(_ line: String) -> Bool { lines.withLock { $0.contains(line) } }
  }

  static let unary = method("Unary")
  static let collect = method("Collect")
  static let expand = method("Expand")
  static let chat = method("Chat")
  static let fail = method("Fail")
  static let wait = method("Wait")
  static let stall = method("Stall")
  static let timeLeft = method("TimeLeft")

  let log = Log()

  private static func method(_ name: String) -> MethodDescriptor {
    MethodDescriptor(fullyQualifiedService: "test.Echo", method: name)
  }

  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    register(Self.unary, &router) { request, _ in
      let message = try await request.messages.reduce(into: []) { $0 += $1 }
      let mirrored = Metadata(request.metadata.filter { $0.key.hasPrefix("x-") }.map { ($0.key, $0.value) })
      return StreamingServerResponse(metadata: mirrored) { writer in
        try await writer.write(message)
        return mirrored
      }
    }
    register(Self.collect, &router) { [log] request, _ in
      var all: [UInt8] = []
      for try await message in request.messages {
        all += message
        log.add("collected \(all.count)")
      }
      return StreamingServerResponse { [all] writer in
        try await writer.write(all)
        return [:]
      }
    }
    register(Self.expand, &router) { request, _ in
      let (count, size) = try await Self.countAndSize(request)
      return StreamingServerResponse { [log] writer in
        let message = [UInt8](repeating: 7, count: size)
        for index in 0..<count {
          try await writer.write(message)
          log.add("expanded \(index + 1)")
        }
        return [:]
      }
    }
    register(Self.chat, &router) { request, _ in
      StreamingServerResponse { writer in
        for try await message in request.messages { try await writer.write(message) }
        return [:]
      }
    }
    registerFailures(&router)
  }

  private func registerFailures<Transport: ServerTransport>(_ router: inout RPCRouter<Transport>) {
    register(Self.fail, &router) { request, _ in
      let message = try await request.messages.reduce(into: []) { $0 += $1 }
      throw RPCError(
        code: .failedPrecondition, message: String(decoding: message, as: UTF8.self), metadata: ["x-why": "because"])
    }
    register(Self.wait, &router) { [log] _, _ in
      log.add("waiting")
      do {
        try await withRPCCancellationHandler {
          try await Task.sleep(for: .seconds(60))
        } onCancelRPC: {
          log.add("RPC cancelled")
        }
      } catch {
        log.add("task cancelled")
        throw error
      }
      return StreamingServerResponse { _ in [:] }
    }
    register(Self.timeLeft, &router) { request, context in
      let deadline = (context.transportSpecific as? NGHTTP2ServerContext)?.deadline
      let left = deadline.map { ContinuousClock.now.duration(to: $0).components.seconds }
      return StreamingServerResponse { writer in
        try await writer.write(Array("\(left ?? -1)".utf8))
        return [:]
      }
    }
    register(Self.stall, &router) { request, _ in
      try await Task.sleep(for: .milliseconds(300))
      var count = 0
      for try await message in request.messages { count += message.count }
      return StreamingServerResponse { [count] writer in
        try await writer.write(Array("\(count)".utf8))
        return [:]
      }
    }
  }

  private func register<Transport: ServerTransport>(
    _ method: MethodDescriptor, _ router: inout RPCRouter<Transport>,
    _ handler:
      @escaping @Sendable (StreamingServerRequest<[UInt8]>, ServerContext) async throws
      -> StreamingServerResponse<[UInt8]>
  ) {
    router.registerHandler(
      forMethod: method, deserializer: BytesCoder(), serializer: BytesCoder(), handler: handler)
  }

  /// Two numbers as text: how many messages, and how large each.
  private static func countAndSize(_ request: StreamingServerRequest<[UInt8]>) async throws -> (Int, Int) {
    let message = try await request.messages.reduce(into: []) { $0 += $1 }
    let numbers = String(decoding: message, as: UTF8.self).split(separator: " ").compactMap { Int($0) }
    guard numbers.count == 2 else { throw RPCError(code: .invalidArgument, message: "two numbers, please") }
    return (numbers[0], numbers[1])
  }
}
