import GRPCCore

/// Lets only calls through that carry the VM's secret. A guest's other processes can reach the agent's port
/// no more than they can read the secret; this is the second of the two locks (the first: CID 2 only).
struct SecretInterceptor: ServerInterceptor {
  static let metadataKey = "bulkhead-secret"
  let secret: [UInt8]

  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    let offered = request.metadata[stringValues: Self.metadataKey].contains { isSecret(Array($0.utf8)) }
    guard offered else {
      throw RPCError(code: .unauthenticated, message: "the metadata \(Self.metadataKey) is missing or wrong")
    }
    return try await next(request, context)
  }

  /// Takes the same time wherever the first difference is. Without a secret nothing is right.
  private func isSecret(_ offered: [UInt8]) -> Bool {
    guard !secret.isEmpty, offered.count == secret.count else { return false }
    return zip(offered, secret).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }
}
