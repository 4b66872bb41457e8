import Common
import Foundation

/// One server that may be asked for the images of a registry: the registry itself or a mirror of it.
struct RegistryEndpoint: Hashable, Sendable {
  enum Capability: String, Hashable, Sendable { case pull, resolve, push }
  enum Scheme: String, Hashable, Sendable { case http, https }

  var scheme: Scheme
  /// Host and, where not the scheme's own, port.
  var authority: String
  /// Ends without a slash: "/v2".
  var basePath: String
  var capabilities: Set<Capability> = [.pull, .resolve]
  var tls = TLSSettings()
  var headers: [Header] = []

  struct Header: Hashable, Sendable {
    var name: String
    var value: String
  }

  /// The registry `domain` when nothing is configured of it: HTTPS, but plain HTTP for one on this machine's
  /// loopback, as containerd does.
  static func standard(for domain: String) -> RegistryEndpoint {
    let authority = domain == ImageReference.dockerHub ? "registry-1.docker.io" : domain
    let scheme: Scheme = isLoopback(authority) && !authority.hasSuffix(":443") ? .http : .https
    return RegistryEndpoint(scheme: scheme, authority: authority, basePath: "/v2")
  }

  /// From the URL of a hosts.toml, where the scheme may be left out. Throws `invalidArgument`.
  init(url text: String, overridePath: Bool) throws {
    let full = text.contains("://") ? text : "\(Self.isLoopback(text) ? "http" : "https")://\(text)"
    guard let url = URLComponents(string: full), let scheme = Scheme(rawValue: url.scheme ?? ""),
      let host = url.host, !host.isEmpty
    else {
      throw BulkheadError(.invalidArgument, "\"\(printable(text))\" is not the http or https URL of a registry")
    }
    self.scheme = scheme
    authority = url.port.map { "\(host):\($0)" } ?? host
    var path = url.path
    while path.hasSuffix("/") { path.removeLast() }
    if !overridePath, !path.hasSuffix("/v2") { path += "/v2" }
    basePath = path
  }

  init(scheme: Scheme, authority: String, basePath: String) {
    self.scheme = scheme
    self.authority = authority
    self.basePath = basePath
  }

  static func isLoopback(_ authority: String) -> Bool {
    if authority.hasPrefix("[::1]") { return true }
    let host = authority.prefix { $0 != ":" && $0 != "/" }
    if host == "localhost" { return true }
    let octets = host.split(separator: ".", omittingEmptySubsequences: false)
    return octets.count == 4 && octets[0] == "127" && octets.allSatisfy { UInt8($0) != nil }
  }
}

/// How to speak TLS with an endpoint.
struct TLSSettings: Hashable, Sendable {
  struct ClientCertificate: Hashable, Sendable {
    var certificateFile: String
    var keyFile: String
  }

  /// PEM files trusted beside the system's.
  var authorityFiles: [String] = []
  var client: ClientCertificate?
  var skipsVerification = false
}
