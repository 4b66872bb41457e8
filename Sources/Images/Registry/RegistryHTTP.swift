import AsyncHTTPClient
import Common
import Foundation
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization

/// The HTTP clients of one pull, one a set of TLS settings. They live as long as the pull's `withClients`.
final class RegistryHTTP: Sendable {
  struct Timeouts: Sendable {
    var connect: Duration = .seconds(15)
    /// The longest silence within an answer.
    var idleRead: Duration = .seconds(60)
    /// From a request to the head of its answer.
    var answer: Duration = .seconds(60)
  }

  let timeouts: Timeouts
  private let clients = Mutex<[TLSSettings: HTTPClient]>([:])

  private init(timeouts: Timeouts) { self.timeouts = timeouts }

  /// Runs `body` and then closes every connection it made, also when it throws.
  static func withClients<Result: Sendable>(
    timeouts: Timeouts, _ body: @Sendable (RegistryHTTP) async throws -> Result
  ) async throws -> Result {
    let http = RegistryHTTP(timeouts: timeouts)
    do {
      let result = try await body(http)
      await http.shutdown()
      return result
    } catch {
      await http.shutdown()
      throw error
    }
  }

  private func shutdown() async {
    let all = clients.withLock { clients in
      defer { clients = [:] }
      return Array(clients.values)
    }
    for client in all {
      // It fails only where it was shut down before, and this is the one place that does.
      try? await client.shutdown()
    }
  }

  /// One request and the head of its answer; the body streams. Redirects are the caller's, who knows which
  /// headers may go where. Throws `RegistryFailure`, `BulkheadError` or `CancellationError`.
  func execute(_ request: HTTPClientRequest, tls: TLSSettings, server: String) async throws -> HTTPClientResponse {
    let client = try client(for: tls)
    do {
      // The deadline of AsyncHTTPClient ends at the head; the body has the idle timeout.
      return try await client.execute(request, deadline: .now() + TimeAmount(timeouts.answer))
    } catch {
      throw RegistryFailure.sorting(error, server: server)
    }
  }

  private func client(for tls: TLSSettings) throws -> HTTPClient {
    if let client = clients.withLock({ $0[tls] }) { return client }
    let configuration = try Self.configuration(tls, timeouts)
    return clients.withLock { clients in
      if let client = clients[tls] { return client }
      let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
      clients[tls] = client
      return client
    }
  }

  private static func configuration(_ tls: TLSSettings, _ timeouts: Timeouts) throws -> HTTPClient.Configuration {
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow,
      timeout: .init(connect: TimeAmount(timeouts.connect), read: TimeAmount(timeouts.idleRead)))
    // Layers come side by side: a connection each is faster than streams of one, whose window they would share.
    configuration.httpVersion = .http1Only
    // Retries are RetryPolicy's.
    configuration.connectionPool.retryConnectionEstablishment = false
    guard tls != TLSSettings() else { return configuration }
    var settings = TLSConfiguration.makeClientConfiguration()
    do {
      settings.additionalTrustRoots = try tls.authorityFiles.map {
        .certificates(try NIOSSLCertificate.fromPEMFile($0))
      }
      if let client = tls.client {
        settings.certificateChain = try NIOSSLCertificate.fromPEMFile(client.certificateFile).map { .certificate($0) }
        settings.privateKey = .privateKey(try NIOSSLPrivateKey(file: client.keyFile, format: .pem))
      }
    } catch {
      let files = tls.authorityFiles + [tls.client?.certificateFile, tls.client?.keyFile].compactMap(\.self)
      throw BulkheadError(
        .failedPrecondition, "a certificate of hosts.toml can't be read (one of \(files.joined(separator: ", ")))",
        cause: error)
    }
    if tls.skipsVerification { settings.certificateVerification = .none }
    configuration.tlsConfiguration = settings
    return configuration
  }
}
