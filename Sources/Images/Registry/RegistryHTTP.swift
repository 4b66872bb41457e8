import Common
import LinuxSystem
import Synchronization

/// The HTTP connections of one pull, a thread of them for each set of TLS settings, so that no connection is used with
/// other settings than its own. They live as long as the pull's `withClients`.
final class RegistryHTTP: Sendable {
  struct Timeouts: Sendable {
    var connect: Duration = .seconds(15)
    /// The longest silence within an answer.
    var idleRead: Duration = .seconds(60)
    /// From a request to the head of its answer.
    var answer: Duration = .seconds(60)
  }

  private let timeouts: Timeouts
  private let proxies: ProxySettings
  private let loops = Mutex<[TLSSettings: CurlLoop]>([:])

  private init(timeouts: Timeouts, proxies: ProxySettings) {
    self.timeouts = timeouts
    self.proxies = proxies
  }

  /// Runs `body` and then closes every connection it made, also when it throws.
  static func withClients<Result: Sendable>(
    timeouts: Timeouts, proxies: ProxySettings, _ body: @Sendable (RegistryHTTP) async throws -> Result
  ) async throws -> Result {
    let http = RegistryHTTP(timeouts: timeouts, proxies: proxies)
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
    let all = loops.withLock { loops in
      defer { loops = [:] }
      return Array(loops.values)
    }
    for loop in all { await loop.close() }
  }

  /// One request and the head of its answer; the body streams. Redirects are the caller's, who knows which
  /// headers may go where. Throws `RegistryFailure`, `BulkheadError` or `CancellationError`.
  func execute(_ request: HTTPRequest, tls: TLSSettings, server: String) async throws -> HTTPAnswer {
    let loop = try await loop(for: tls)
    do {
      return try await loop.send(request)
    } catch {
      throw RegistryFailure.sorting(error, server: server)
    }
  }

  private func loop(for tls: TLSSettings) async throws -> CurlLoop {
    if let loop = loops.withLock({ $0[tls] }) { return loop }
    let material = try await onDedicatedThread { try TLSMaterial(tls) }
    return try loops.withLock { loops in
      if let loop = loops[tls] { return loop }
      let loop = try CurlLoop(tls: material, proxies: proxies, timeouts: timeouts)
      loops[tls] = loop
      return loop
    }
  }
}
