import Common
import TOMLKit
import TOMLText

/// One hosts.toml: at its root the registry's own server, under `[host."URL"]` the mirrors to try before it.
struct HostsFile {
  private let root: TOMLTable
  private let mirrors: [String]
  /// What relative paths of certificates start from.
  private let directory: String

  /// Throws `invalidArgument` with the line for what is no TOML.
  init(_ text: String, directory: String) throws {
    do { root = try parseTOML(text) } catch {
      throw BulkheadError(.invalidArgument, "line \(error.line): \(error.reason)")
    }
    self.directory = directory
    let names = root["host"]?.table?.keys ?? []
    mirrors = Self.inFileOrder(names, text)
  }

  /// Mirrors first, in the file's order, then the server.
  func endpoints(for domain: String) throws -> [RegistryEndpoint] {
    var server = RegistryEndpoint.standard(for: domain)
    if let url = try string(root, "server") {
      server = try RegistryEndpoint(url: url, overridePath: try bool(root, "override_path"))
    }
    let endpoints = try mirrors.compactMap { name -> RegistryEndpoint? in
      guard let table = root["host"]?.table?[name]?.table else { return nil }
      let overridePath = try bool(table, "override_path")
      return try settings(of: RegistryEndpoint(url: name, overridePath: overridePath), table)
    }
    return try (endpoints + [settings(of: server, root)]).filter {
      !$0.capabilities.isDisjoint(with: [.pull, .resolve])
    }
  }

  private func settings(of plain: RegistryEndpoint, _ table: TOMLTable) throws -> RegistryEndpoint {
    var endpoint = plain
    if table["capabilities"] != nil {
      endpoint.capabilities = try Set(
        strings(table, "capabilities").map { name in
          guard let capability = RegistryEndpoint.Capability(rawValue: name) else {
            throw BulkheadError(.invalidArgument, "capability \"\(printable(name))\" is none of pull, resolve, push")
          }
          return capability
        })
    }
    endpoint.tls.skipsVerification = try bool(table, "skip_verify")
    endpoint.tls.authorityFiles = try strings(table, "ca").map(absolute)
    endpoint.tls.client = try clientCertificate(table)
    if let headers = table["header"]?.table {
      for name in headers.keys.sorted() {
        for value in try strings(headers, name) { endpoint.headers.append(.init(name: name, value: value)) }
      }
    }
    return endpoint
  }

  /// `client` is a file with certificate and key, or a list of such files or of [certificate, key]; the first is
  /// used.
  private func clientCertificate(_ table: TOMLTable) throws -> TLSSettings.ClientCertificate? {
    guard let value = table["client"] else { return nil }
    if let pair = value.array?.first?.array {
      let files = pair.compactMap(\.string)
      guard files.count == 2 else {
        throw BulkheadError(.invalidArgument, "client: a pair is [\"certificate file\", \"key file\"]")
      }
      return .init(certificateFile: absolute(files[0]), keyFile: absolute(files[1]))
    }
    guard let file = try strings(table, "client").first else { return nil }
    return .init(certificateFile: absolute(file), keyFile: absolute(file))
  }

  private func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : "\(directory)/\(path)" }

  private func string(_ table: TOMLTable, _ key: String) throws -> String? {
    guard let value = table[key] else { return nil }
    guard let string = value.string else { throw BulkheadError(.invalidArgument, "\(key) is not a string") }
    return string
  }

  private func bool(_ table: TOMLTable, _ key: String) throws -> Bool {
    guard let value = table[key] else { return false }
    guard let bool = value.bool else { throw BulkheadError(.invalidArgument, "\(key) is neither true nor false") }
    return bool
  }

  /// A string or an array of strings.
  private func strings(_ table: TOMLTable, _ key: String) throws -> [String] {
    guard let value = table[key] else { return [] }
    if let string = value.string { return [string] }
    let strings = value.array?.map(\.string) ?? [nil]
    guard !strings.contains(nil) else {
      throw BulkheadError(.invalidArgument, "\(key) is neither a string nor a list of strings")
    }
    return strings.compactMap(\.self)
  }

  /// A TOML table does not keep the order of its keys, and here the order says which mirror is asked first: it is
  /// that of the keys' first mentions as table headers.
  private static func inFileOrder(_ names: [String], _ text: String) -> [String] {
    func position(_ name: String) -> String.Index {
      text.firstRange(of: "[host.\"\(name)\"")?.lowerBound ?? text.endIndex
    }
    return names.map { ($0, position($0)) }.sorted { ($0.1, $0.0) < ($1.1, $1.0) }.map(\.0)
  }
}
