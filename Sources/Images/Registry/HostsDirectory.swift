import Common
import Foundation

/// The operator's settings of registries: a directory with one directory a registry host, each with a hosts.toml,
/// as containerd has it (containerd's docs/hosts.md). It is read anew for each pull, so that changes need no restart.
struct HostsDirectory: Sendable {
  /// Nil where none is configured.
  var path: String?

  /// The servers to ask for the images of `domain`, in order. Throws `failedPrecondition` for a hosts.toml that
  /// is not right, with the file's name and what is wrong. Reads files: for a thread that may block.
  func endpoints(for domain: String) throws -> [RegistryEndpoint] {
    guard let directory = directory(for: domain) else { return [.standard(for: domain)] }
    let file = "\(directory)/hosts.toml"
    guard let bytes = FileManager.default.contents(atPath: file) else {
      return [try Self.certificatesOnly(directory, domain)]
    }
    do {
      guard bytes.count <= 1 << 20, let text = String(validating: bytes, as: UTF8.self) else {
        throw BulkheadError(.invalidArgument, "the file is not text of at most 1 MiB")
      }
      return try HostsFile(text, directory: directory).endpoints(for: domain)
    } catch {
      throw BulkheadError(.failedPrecondition, "registry settings \(file) can't be used", cause: error)
    }
  }

  /// The first that exists of containerd's spellings: `host_port_`, `host:port`, and `_default` for all others.
  private func directory(for domain: String) -> String? {
    guard let path else { return nil }
    var names = [domain, "_default"]
    if let colon = domain.lastIndex(of: ":"), !domain.hasSuffix("]") {
      names.insert("\(domain[..<colon])_\(domain[domain.index(after: colon)...])_", at: 0)
    }
    return names.map { "\(path)/\($0)" }.first { FileManager.default.fileExists(atPath: $0) }
  }

  /// A directory without hosts.toml holds certificates as Docker's does: `*.crt` authorities, `*.cert` and `*.key`
  /// of the client.
  private static func certificatesOnly(_ directory: String, _ domain: String) throws -> RegistryEndpoint {
    var endpoint = RegistryEndpoint.standard(for: domain)
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
    endpoint.tls.authorityFiles = names.filter { $0.hasSuffix(".crt") }.map { "\(directory)/\($0)" }
    if let certificate = names.first(where: { $0.hasSuffix(".cert") }) {
      let base = "\(directory)/\(certificate.dropLast(5))"
      endpoint.tls.client = .init(certificateFile: "\(base).cert", keyFile: "\(base).key")
    }
    if !endpoint.tls.authorityFiles.isEmpty || endpoint.tls.client != nil { endpoint.scheme = .https }
    return endpoint
  }
}
