import Foundation
import NIOHTTP1

/// A token server as docker-registry wants it (distribution's docs/spec/auth/jwt.md): it gives a token for one
/// user's password, or for the refresh token "refresh".
struct TokenServer: Sendable {
  let server: ScriptedServer
  /// The `auth:` part of docker-registry's configuration.
  let registrySettings: String

  init(_ scratch: Scratch) async throws {
    let (key, certificate) = ("\(scratch.path)/token.key", "\(scratch.path)/token.crt")
    try run("openssl", "genrsa", "-out", key, "2048")
    try run(
      "openssl", "req", "-x509", "-new", "-key", key, "-out", certificate, "-days", "2", "-subj", "/CN=token")
    let chain = try run("openssl", "x509", "-in", certificate, "-outform", "DER").base64EncodedString()
    server = try await ScriptedServer { request in
      let password = "Basic \(Data("user:secret".utf8).base64EncodedString())"
      let form = String(decoding: request.body, as: UTF8.self)
      let isKnown = request.headers["authorization"] == [password] || form.contains("refresh_token=refresh")
      guard isKnown else { return .init(status: .unauthorized) }
      let actions = form.isEmpty ? (request.query["scope"] ?? "").split(separator: ":").last ?? "" : "pull"
      let scope = actions.split(separator: ",").map(String.init)
      guard let token = try? Self.token("team/app", scope, key, chain) else {
        return .init(status: .internalServerError)
      }
      return .init(body: Data(#"{"token":"\#(token)","expires_in":60}"#.utf8))
    }
    registrySettings = """
      auth:
        token:
          realm: http://\(server.authority)/token
          service: test
          issuer: test-issuer
          rootcertbundle: \(certificate)
      """
  }

  private static func token(
    _ repository: String, _ actions: [String], _ key: String, _ chain: String
  ) throws -> String {
    let now = Int(Date().timeIntervalSince1970)
    let header: [String: Any] = ["typ": "JWT", "alg": "RS256", "x5c": [chain]]
    let claims: [String: Any] = [
      "iss": "test-issuer", "sub": "user", "aud": "test", "exp": now + 60, "nbf": now - 10, "iat": now, "jti": "1",
      "access": [["type": "repository", "name": repository, "actions": actions]],
    ]
    let parts = [header, claims].map { part in
      base64URL((try? JSONSerialization.data(withJSONObject: part)) ?? Data())
    }
    let signed = parts.joined(separator: ".")
    let scratch = try Scratch()
    let signature = try run("openssl", "dgst", "-sha256", "-sign", key, try scratch.write(signed, to: "signed"))
    return "\(signed).\(base64URL(signature))"
  }

  private static func base64URL(_ data: Data) -> String {
    data.base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
      .replacingOccurrences(of: "=", with: "")
  }
}
