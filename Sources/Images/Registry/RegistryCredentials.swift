import Common
import Foundation

/// What a client gave to log in to a registry with. Its description and mirror never show the secret.
public struct RegistryCredentials: Hashable, Sendable {
  public enum Secret: Hashable, Sendable {
    case password(user: String, password: String)
    /// An OAuth 2 refresh token: traded for an access token at the registry's token server.
    case identityToken(String)
    /// A bearer token, sent to the registry as it is.
    case registryToken(String)
  }

  public let secret: Secret
  /// The only registry these may be sent to, a host or a URL; nil where the client did not say.
  public let serverAddress: String?

  public init(_ secret: Secret, serverAddress: String? = nil) {
    self.secret = secret
    self.serverAddress = serverAddress
  }

  /// From the fields of the CRI's AuthConfig, where the empty string means absent. Nil if nothing is in them;
  /// throws `invalidArgument` if `auth` is not the base64 of `user:password`.
  public init?(
    username: String, password: String, auth: String, serverAddress: String, identityToken: String,
    registryToken: String
  ) throws {
    let server = serverAddress.isEmpty ? nil : serverAddress
    if !registryToken.isEmpty {
      self.init(.registryToken(registryToken), serverAddress: server)
    } else if !identityToken.isEmpty {
      self.init(.identityToken(identityToken), serverAddress: server)
    } else if !username.isEmpty {
      self.init(.password(user: username, password: password), serverAddress: server)
    } else if !auth.isEmpty {
      self.init(try Self.decoded(auth), serverAddress: server)
    } else {
      return nil
    }
  }

  private static func decoded(_ auth: String) throws -> Secret {
    guard let bytes = Data(base64Encoded: auth), let text = String(validating: bytes, as: UTF8.self),
      let colon = text.firstIndex(of: ":")
    else {
      throw BulkheadError(.invalidArgument, "the field auth of the image's AuthConfig is not base64 of user:password")
    }
    // Docker's older config files padded the password with NULs.
    let password = text[text.index(after: colon)...].drop { $0 == "\0" }.prefix { $0 != "\0" }
    return .password(user: String(text[..<colon]), password: String(password))
  }

  /// Whether they may go to `authority`, which serves the images named `domain/...`.
  func apply(to authority: String, for domain: String) -> Bool {
    guard let serverAddress else { return true }
    var host = serverAddress[...]
    if let scheme = host.range(of: "://") { host = host[scheme.upperBound...] }
    host = host.prefix { $0 != "/" }
    return host == authority || host == domain || (domain == ImageReference.dockerHub && host == "index.docker.io")
  }
}

extension RegistryCredentials: CustomStringConvertible, CustomReflectable {
  public var description: String { "registry credentials" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

extension RegistryCredentials.Secret: CustomStringConvertible, CustomReflectable {
  public var description: String { "secret" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
