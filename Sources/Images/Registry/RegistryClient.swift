import Common
import Foundation
import Hashing
import Logging
import OCISpec

/// The servers that have one image, in the order in which they are asked: mirrors, then the registry itself.
/// What it returns has the digest and the size that were asked for; a blob is streamed, so its digest is the
/// reader's to check.
struct RegistryClient: Sendable {
  let reference: ImageReference
  let logger: Logger
  private let connections: [RegistryConnection]
  private let retries: RetryPolicy
  private let limits: ImageLimits

  init(
    reference: ImageReference, endpoints: [RegistryEndpoint], credentials: RegistryCredentials?, http: RegistryHTTP,
    retries: RetryPolicy, limits: ImageLimits, logger: Logger
  ) {
    self.reference = reference
    self.logger = logger
    self.retries = retries
    self.limits = limits
    connections = endpoints.map {
      RegistryConnection($0, reference: reference, credentials: credentials, http: http)
    }
  }

  struct FetchedManifest: Sendable {
    let bytes: Data
    let digest: Digest
    let mediaType: String?
  }

  /// The manifest or index of the reference itself.
  func resolve() async throws -> FetchedManifest {
    if let digest = reference.digest { return try await manifest(digest, size: nil) }
    let tag = reference.tag ?? ImageReference.defaultTag
    return try await manifest(path: "manifests/\(tag)", needs: .resolve) { _, _ in }
  }

  /// The manifest with `digest`, and of `size` where a descriptor named it.
  func manifest(_ digest: Digest, size: UInt64?) async throws -> FetchedManifest {
    try await manifest(path: "manifests/\(digest)", needs: .pull) { bytes, found in
      guard found == digest, size == nil || size == UInt64(bytes.count) else {
        throw RegistryFailure.content(
          BulkheadError(.dataLoss, "the registry sent other content than that of \(digest): it has \(found)"))
      }
    }
  }

  /// A blob small enough to hold, whole and verified.
  func smallBlob(_ content: Content) async throws -> Data {
    try await fromFirst(needs: .pull) { connection in
      let server = connection.endpoint.authority
      let response = try await connection.get("blobs/\(content.digest)")
      do {
        let body = Data(try await response.body.collect(upTo: Int(clamping: content.size)))
        if UInt64(body.count) < content.size { throw RegistryFailure.truncated(server) }
        let found = try Digest(of: body)
        guard found == content.digest else {
          let message = "\(server) sent other content than that of \(content.digest): it has \(found)"
          throw RegistryFailure.content(BulkheadError(.dataLoss, message))
        }
        return body
      } catch {
        throw RegistryFailure.sorting(error, server: server)
      }
    }
  }

  /// Streams a blob from byte `offset` on to `sink`, one call after the other, each awaited before more is read.
  /// What breaks off is taken up again where it stopped, at the next server if need be. `sink` has had exactly
  /// the bytes from `offset` to the blob's size when this returns. An error of `sink` ends it and is thrown.
  func blob(
    _ content: Content, from offset: UInt64, sink: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws {
    let transfer = BlobTransfer(content, from: offset, sink: sink)
    try await fromFirst(needs: .pull, madeProgress: transfer.advancedSinceLastAsked) { connection in
      try await transfer.run(on: connection)
    }
  }

  private func manifest(
    path: String, needs capability: RegistryEndpoint.Capability,
    _ check: @escaping @Sendable (Data, Digest) throws -> Void
  ) async throws -> FetchedManifest {
    try await fromFirst(needs: capability) { connection in
      let server = connection.endpoint.authority
      let response = try await connection.get(path, headers: [("accept", Self.acceptedManifests)])
      do {
        let body = Data(try await response.body.collect(upTo: limits.manifestBytes))
        if let length = response.head.first("content-length").flatMap({ Int($0) }), body.count < length {
          throw RegistryFailure.truncated(server)
        }
        let digest = try Digest(of: body)
        try check(body, digest)
        let type = response.head.first("content-type")?.prefix { $0 != ";" && $0 != " " }
        return FetchedManifest(bytes: body, digest: digest, mediaType: type.map(String.init))
      } catch {
        throw RegistryFailure.sorting(error, server: server)
      }
    }
  }

  private static let acceptedManifests = [
    MediaType.index, MediaType.manifest, MediaType.dockerManifestList, MediaType.dockerManifest,
  ].joined(separator: ", ")

  /// The first success among the servers that can do `capability`. The last one gets all the retries; those before
  /// it, mirrors, two attempts. The error is the last server's, the registry's own.
  private func fromFirst<Result: Sendable>(
    needs capability: RegistryEndpoint.Capability, madeProgress: @escaping @Sendable () -> Bool = { false },
    _ body: @escaping @Sendable (RegistryConnection) async throws -> Result
  ) async throws -> Result {
    let able = connections.filter { $0.endpoint.capabilities.contains(capability) }
    for (number, connection) in able.enumerated() {
      let isLast = number == able.count - 1
      var policy = retries
      if !isLast { policy.attempts = min(policy.attempts, 2) }
      do {
        return try await policy.run(madeProgress: madeProgress, onRetry: { note($0, "trying again") }) {
          try await body(connection)
        }
      } catch let failure as RegistryFailure {
        if isLast { throw failure.explained("image \(reference)") }
        note(failure, "trying the next server")
      }
    }
    throw BulkheadError(
      .failedPrecondition, "hosts.toml of \(reference.domain) names no server with the capability \(capability)")
  }

  private func note(_ failure: RegistryFailure, _ next: String) {
    logger.info("\(failure.explained("image \(reference)").description); \(next)")
  }
}
