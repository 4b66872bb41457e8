import Common
import Foundation

/// A request whose URL and headers are what they seem: nothing in them can end a line, or be read as another host by
/// somebody who parses differently.
struct HTTPRequest: Sendable {
  enum Method: Sendable {
    case get
    case post(body: [UInt8])
  }

  let scheme: RegistryEndpoint.Scheme
  /// A name, an IPv4 address, or an IPv6 address in brackets.
  let host: String
  let url: String
  private(set) var headers: [RegistryEndpoint.Header] = []
  var method = Method.get

  /// User, password and fragment of `url` are not sent. Throws `invalidArgument`.
  init(_ url: URLComponents) throws {
    guard let scheme = RegistryEndpoint.Scheme(rawValue: url.scheme ?? ""), let host = url.percentEncodedHost,
      Self.isHost(host)
    else {
      throw BulkheadError(.invalidArgument, "\"\(printable(url.host ?? ""))\" is not the host of an http or https URL")
    }
    let port = url.port.map { ":\($0)" } ?? ""
    let query = url.percentEncodedQuery.map { "?\($0)" } ?? ""
    let path = url.percentEncodedPath.isEmpty ? "/" : url.percentEncodedPath
    let text = "\(scheme)://\(host)\(port)\(path)\(query)"
    guard path.hasPrefix("/"), text.utf8.count <= 16 << 10,
      text.utf8.allSatisfy({ (0x21...0x7e).contains($0) && !#"\"<>^`{|}#"#.utf8.contains($0) })
    else { throw BulkheadError(.invalidArgument, "the URL on \(host) has characters that no URL has") }
    self.scheme = scheme
    self.host = host
    self.url = text
  }

  /// Throws `invalidArgument` for what could write other headers than this one.
  mutating func add(_ name: String, _ value: String) throws {
    let isName = !name.isEmpty && name.utf8.allSatisfy { Self.tokenCharacters.contains($0) }
    let isValue = value.utf8.allSatisfy { $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7f) }
    guard isName, isValue else {
      throw BulkheadError(.invalidArgument, "header \"\(printable(name, limit: 64))\" can't be sent: it is malformed")
    }
    headers.append(.init(name: name, value: value))
  }

  private static let tokenCharacters = Set(
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

  private static func isHost(_ host: String) -> Bool {
    if host.hasPrefix("["), host.hasSuffix("]") {
      return host.utf8.dropFirst().dropLast().allSatisfy { "0123456789abcdefABCDEF:.".utf8.contains($0) }
    }
    let allowed = "-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8
    return !host.isEmpty && host.utf8.count <= 255 && host.utf8.allSatisfy { allowed.contains($0) }
  }
}
