import Common
import Foundation

/// The proxies by which registries are reached: the environment's variables, as containerd reads them.
struct ProxySettings: Sendable {
  struct Proxy: Sendable {
    /// Scheme, host and port; nothing secret.
    var server: String
    var user: String?
    var password: String?
  }

  private var http: Proxy?
  private var https: Proxy?
  /// NO_PROXY: domains with all that is beneath them, addresses and networks (`10.0.0.0/8`), or `*`; by commas.
  let exceptions: String

  /// Throws `failedPrecondition` for a variable that names no proxy. What it says is not repeated: it may hold a
  /// password.
  init(environment: [String: String]) throws {
    func value(_ name: String) -> String? {
      [name, name.lowercased()].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
    }
    func proxy(_ name: String) throws -> Proxy? {
      guard let text = value(name) else { return nil }
      guard let proxy = Proxy(text) else {
        throw BulkheadError(
          .failedPrecondition,
          "\(name) in the daemon's environment is not the URL of an http, https, socks5 or socks5h proxy")
      }
      return proxy
    }
    http = try proxy("HTTP_PROXY")
    https = try proxy("HTTPS_PROXY")
    exceptions = value("NO_PROXY") ?? ""
  }

  /// The proxy for `request` unless `exceptions` names its host; nil for none. This machine is never asked by a proxy.
  func proxy(for request: HTTPRequest) -> Proxy? {
    if RegistryEndpoint.isLoopback(request.host) { return nil }
    return switch request.scheme {
    case .http: http
    case .https: https
    }
  }
}

extension ProxySettings.Proxy {
  fileprivate init?(_ text: String) {
    guard let url = URLComponents(string: text.contains("://") ? text : "http://\(text)"),
      let scheme = url.scheme?.lowercased(), ["http", "https", "socks5", "socks5h"].contains(scheme),
      let host = url.percentEncodedHost, !host.isEmpty, !host.utf8.contains(where: { $0 <= 0x20 || $0 == 0x25 })
    else { return nil }
    let port = url.port ?? ["http": 80, "https": 443][scheme] ?? 1080
    self.init(server: "\(scheme)://\(host):\(port)", user: url.user, password: url.password)
  }
}
