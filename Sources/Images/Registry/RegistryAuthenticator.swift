import Common
import Foundation

/// Answers a registry's challenge: Basic with the user's password, or Bearer with a token from the token server that
/// the challenge names (distribution's docs/spec/auth/token.md and oauth.md).
struct RegistryAuthenticator: Sendable {
  let endpoint: RegistryEndpoint
  let repository: String
  let credentials: RegistryCredentials?
  let http: RegistryHTTP

  /// The Authorization header's value that answers `challenges` (values of WWW-Authenticate); nil if there is
  /// nothing to answer with.
  func authorization(for challenges: [String]) async throws -> String? {
    let challenges = challenges.prefix(8).flatMap(AuthChallenge.parse)
    if let bearer = challenges.first(where: { $0.scheme == "bearer" }), bearer.parameters["realm"] != nil {
      if case .registryToken(let token) = credentials?.secret { return "Bearer \(try headerSafe(token))" }
      return "Bearer \(try headerSafe(try await token(bearer)))"
    }
    guard challenges.contains(where: { $0.scheme == "basic" }) else { return nil }
    return basic
  }

  private var basic: String? {
    guard case .password(let user, let password) = credentials?.secret else { return nil }
    return "Basic \(Data("\(user):\(password)".utf8).base64EncodedString())"
  }

  private func token(_ challenge: AuthChallenge) async throws -> String {
    var request = try tokenRequest(challenge)
    try request.add("user-agent", "bulkhead")
    let server = "\(endpoint.authority)'s token server"
    let response = try await http.execute(request, tls: endpoint.tls, server: server)
    do {
      let body = try await response.body.collect(upTo: 1 << 20)
      guard response.status == 200 else {
        throw RegistryFailure.status(response.status, server: server, detail: "", retryAfter: nil)
      }
      let answer = try? JSONDecoder().decode(TokenAnswer.self, from: Data(body))
      if let token = answer?.token ?? answer?.access_token, !token.isEmpty { return token }
      throw RegistryFailure.content(BulkheadError(.unauthenticated, "\(server) answered without a token"))
    } catch {
      throw RegistryFailure.sorting(error, server: server)
    }
  }

  private func tokenRequest(_ challenge: AuthChallenge) throws -> HTTPRequest {
    let realm = try tokenServer(challenge.parameters["realm"] ?? "")
    // The registry may know its repository by another path, but it must not use these credentials to ask its
    // token server for more than to pull one.
    var scope = challenge.parameters["scope"] ?? ""
    if !scope.hasPrefix("repository:") || !scope.hasSuffix(":pull") || scope.contains(" ") {
      scope = "repository:\(repository):pull"
    }
    var query = [URLQueryItem(name: "scope", value: scope)]
    if let service = challenge.parameters["service"] { query.insert(.init(name: "service", value: service), at: 0) }
    guard case .identityToken(let token) = credentials?.secret else {
      var url = realm
      url.queryItems = (url.queryItems ?? []) + query
      var request = try HTTPRequest(url)
      if let basic { try request.add("authorization", basic) }
      return request
    }
    query += [
      .init(name: "grant_type", value: "refresh_token"), .init(name: "client_id", value: "bulkhead"),
      .init(name: "refresh_token", value: token),
    ]
    var request = try HTTPRequest(realm)
    try request.add("content-type", "application/x-www-form-urlencoded")
    request.method = .post(body: Array(Self.form(query).utf8))
    return request
  }

  /// The realm as a URL. The credentials go there: over TLS, unless the registry itself is spoken to without.
  private func tokenServer(_ realm: String) throws -> URLComponents {
    guard let url = URLComponents(string: realm), let scheme = url.scheme, url.host?.isEmpty == false,
      scheme == "https" || (scheme == "http" && endpoint.scheme == .http), (try? HTTPRequest(url)) != nil
    else {
      let message = "registry \(endpoint.authority) names a token server that can't be used: \(printable(realm))"
      throw RegistryFailure.content(BulkheadError(.unavailable, message))
    }
    return url
  }

  private static func form(_ items: [URLQueryItem]) -> String {
    var unreserved = CharacterSet.alphanumerics
    unreserved.insert(charactersIn: "-._~")
    return items.map { item in
      "\(item.name)=\(item.value?.addingPercentEncoding(withAllowedCharacters: unreserved) ?? "")"
    }.joined(separator: "&")
  }

  /// A token as a header may carry it; a token server must not write headers of ours.
  private func headerSafe(_ token: String) throws -> String {
    guard token.utf8.allSatisfy({ (0x21...0x7e).contains($0) }), token.utf8.count <= 32 << 10 else {
      throw BulkheadError(.unauthenticated, "the token for registry \(endpoint.authority) is malformed")
    }
    return token
  }

  private struct TokenAnswer: Decodable {
    var token: String?
    var access_token: String?
  }
}
