import Foundation

@testable import Images

/// A GET of `path` on a server of the loopback.
func get(
  _ path: String, from authority: String, by http: RegistryHTTP, tls: TLSSettings = TLSSettings()
) async throws -> HTTPAnswer {
  let request = try HTTPRequest(URLComponents(string: "http://\(authority)\(path)") ?? URLComponents())
  return try await http.execute(request, tls: tls, server: authority)
}

/// Connections as a pull has them, without a proxy.
func withHTTP<Result: Sendable>(
  _ timeouts: RegistryHTTP.Timeouts = .init(), _ body: @Sendable (RegistryHTTP) async throws -> Result
) async throws -> Result {
  try await RegistryHTTP.withClients(timeouts: timeouts, proxies: try ProxySettings(environment: [:]), body)
}

/// Why a request fails: of the taxonomy that decides about retries.
func registryFailure(_ body: () async throws -> some Any) async -> RegistryFailure? {
  do {
    _ = try await body()
    return nil
  } catch {
    return RegistryFailure.sorting(error, server: "server") as? RegistryFailure
  }
}
