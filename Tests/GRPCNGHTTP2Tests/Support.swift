import Foundation
import GRPCCore
import GRPCNGHTTP2
import Testing

typealias Client = GRPCClient<NGHTTP2ClientTransport>

/// A directory of the test's own, with a path that is short enough for sockets.
func withTemporaryDirectory<Result>(_ body: (String) async throws -> Result) async throws -> Result {
  var template = Array("/tmp/bhgrpc-XXXXXX".utf8CString)
  let path = try #require(mkdtemp(&template).map { String(cString: $0) })
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try await body(path)
}

/// Runs `body` beside a server of the echo service on the unix socket that it is given.
func withEchoServer<Result: Sendable>(
  _ configuration: NGHTTP2ServerTransport.Configuration = .init(),
  _ body: (_ path: String, _ log: EchoService.Log, GRPCServer<NGHTTP2ServerTransport>) async throws -> Result
) async throws -> Result {
  try await withTemporaryDirectory { directory in
    let path = "\(directory)/s"
    let transport = try NGHTTP2ServerTransport(listeners: [.unix(path: path)], configuration: configuration)
    let service = EchoService()
    return try await withGRPCServer(transport: transport, services: [service]) { server in
      try await body(path, service.log, server)
    }
  }
}

/// The same, with a client that is connected to it.
func withEcho<Result: Sendable>(
  server: NGHTTP2ServerTransport.Configuration = .init(), client: NGHTTP2ClientTransport.Configuration = .init(),
  _ body: (Client, EchoService.Log) async throws -> Result
) async throws -> Result {
  try await withEchoServer(server) { path, log, _ in
    try await withGRPCClient(transport: .unix(path: path, configuration: client)) { try await body($0, log) }
  }
}

extension GRPCClient {
  /// A unary call; throws what the RPC ends with.
  func call(
    _ message: [UInt8], _ method: MethodDescriptor = EchoService.unary, metadata: Metadata = [:],
    options: CallOptions = .defaults
  ) async throws -> ClientResponse<[UInt8]> {
    try await unary(
      request: ClientRequest(message: message, metadata: metadata), descriptor: method, serializer: BytesCoder(),
      deserializer: BytesCoder(), options: options
    ) { response in
      _ = try response.message
      return response
    }
  }
}

extension GRPCClient {
  func expectEcho(_ message: [UInt8]) async throws {
    let echo = try await call(message).message
    #expect(echo == message)
  }
}

/// The error that `body` throws.
func rpcError(_ body: () async throws -> Void) async -> RPCError? {
  do {
    try await body()
    return nil
  } catch {
    return error as? RPCError
  }
}
