import Common
import Foundation

/// One repository of one endpoint: requests with the authorization that the endpoint asked for, redirects
/// followed without it.
actor RegistryConnection {
  nonisolated let endpoint: RegistryEndpoint
  private nonisolated let http: RegistryHTTP
  private nonisolated let reference: ImageReference
  private let authenticator: RegistryAuthenticator
  /// The value of the Authorization header, once the endpoint has asked for one.
  private var authorization: String?

  init(_ endpoint: RegistryEndpoint, reference: ImageReference, credentials: RegistryCredentials?, http: RegistryHTTP) {
    self.endpoint = endpoint
    self.reference = reference
    self.http = http
    let applies = credentials?.apply(to: endpoint.authority, for: reference.domain) ?? false
    authenticator = RegistryAuthenticator(
      endpoint: endpoint, repository: reference.path, credentials: applies ? credentials : nil, http: http)
  }

  /// GETs `path` ("manifests/latest") of the repository. Returns an answer of status 200 or 206, its body still
  /// streaming. Throws `RegistryFailure`, `BulkheadError` or `CancellationError`.
  func get(_ path: String, headers: [(String, String)] = []) async throws -> HTTPAnswer {
    let used = authorization
    var response = try await Self.follow(try request(path, headers, used), http, endpoint)
    if response.status == 401 {
      if authorization == used {
        authorization = try await authenticator.authorization(for: response.head["www-authenticate"])
      }
      if let authorization {
        response = try await Self.follow(try request(path, headers, authorization), http, endpoint)
      }
    }
    guard response.status == 200 || response.status == 206 else {
      throw await Self.failure(response, endpoint.authority)
    }
    return response
  }

  private nonisolated func request(
    _ path: String, _ headers: [(String, String)], _ authorization: String?
  ) throws -> RegistryRequest {
    var url = "\(endpoint.scheme)://\(endpoint.authority)\(endpoint.basePath)/\(reference.path)/\(path)"
    // A mirror serves several registries; containerd tells it in this way which one is meant.
    if endpoint.authority != RegistryEndpoint.standard(for: reference.domain).authority {
      url += "?ns=\(reference.domain)"
    }
    guard let parsed = URL(string: url) else { throw BulkheadError(.invalidArgument, "no URL: \(printable(url))") }
    return RegistryRequest(url: parsed, plain: headers, private: endpoint.headers, authorization: authorization)
  }

  /// Sends `request` and follows redirects. What is meant for the endpoint alone, the authorization and the
  /// operator's headers, never leaves its origin, and TLS is never given up.
  private static func follow(
    _ first: RegistryRequest, _ http: RegistryHTTP, _ endpoint: RegistryEndpoint
  ) async throws -> HTTPAnswer {
    var request = first
    for _ in 0..<6 {
      let response = try await http.execute(try request.encoded, tls: endpoint.tls, server: endpoint.authority)
      guard [301, 302, 303, 307, 308].contains(response.status) else { return response }
      guard let location = response.head.first("location"), location.utf8.count <= 8192,
        let url = URL(string: location, relativeTo: request.url)?.absoluteURL
      else { throw violation("\(endpoint.authority) redirects to nowhere") }
      guard url.scheme == "https" || (url.scheme == "http" && request.url.scheme == "http") else {
        throw violation("\(endpoint.authority) redirects from https to something else")
      }
      request = request.redirected(to: url)
      guard (try? request.encoded) != nil else { throw violation("\(endpoint.authority) redirects to nowhere") }
    }
    throw violation("\(endpoint.authority) redirects in a circle")
  }

  private static func violation(_ message: String) -> RegistryFailure {
    .content(BulkheadError(.unavailable, "registry \(message)"))
  }

  /// An unsuccessful answer, with the errors that its body lists (distribution-spec, "Error Codes").
  private static func failure(_ response: HTTPAnswer, _ server: String) async -> RegistryFailure {
    let seconds = response.head.first("retry-after").flatMap { Int64($0) }
    let body = try? await response.body.collect(upTo: 64 << 10)
    let errors = body.flatMap { try? JSONDecoder().decode(ErrorList.self, from: Data($0)) }
    let detail = (errors?.errors ?? []).prefix(3)
      .map { [$0.code, $0.message].compactMap(\.self).joined(separator: ": ") }.joined(separator: "; ")
    return .status(
      response.status, server: server, detail: printable(detail, limit: 300),
      retryAfter: seconds.map { .seconds(min(max($0, 0), 3600)) })
  }

  private struct ErrorList: Decodable {
    struct Entry: Decodable {
      var code: String?
      var message: String?
    }
    var errors: [Entry]
  }
}

/// A GET and which of its headers are for its origin alone.
private struct RegistryRequest {
  var url: URL
  var plain: [(String, String)]
  var `private`: [RegistryEndpoint.Header]
  var authorization: String?

  var encoded: HTTPRequest {
    get throws {
      var request = try HTTPRequest(URLComponents(url: url, resolvingAgainstBaseURL: true) ?? URLComponents())
      try request.add("user-agent", "bulkhead")
      for (name, value) in plain { try request.add(name, value) }
      for header in `private` { try request.add(header.name, header.value) }
      if let authorization { try request.add("authorization", authorization) }
      return request
    }
  }

  func redirected(to target: URL) -> RegistryRequest {
    var next = self
    next.url = target
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port) {
      next.private = []
      next.authorization = nil
    }
    return next
  }
}
