import Common

/// The name of an image in full: registry, repository, and a tag, a digest or both.
///
/// The grammar is that of the distribution project (github.com/distribution/reference), which Docker, containerd
/// and the kubelet share; short names are completed as theirs: `alpine` is `docker.io/library/alpine:latest`.
public struct ImageReference: Hashable, Sendable, CustomStringConvertible {
  /// Registry host, with its port where one was given: `docker.io`, `localhost:5000`, `[::1]:5000`.
  public let domain: String
  /// Path within the registry: `library/alpine`.
  public let path: String
  public let tag: String?
  public let digest: Digest?

  /// `docker.io/library/alpine`: the repository, without tag and digest.
  public var repository: String { "\(domain)/\(path)" }

  /// The whole name. With a digest the tag is left out: it says nothing that the digest does not.
  public var description: String {
    if let digest { return "\(repository)@\(digest)" }
    return "\(repository):\(tag ?? Self.defaultTag)"
  }

  static let defaultTag = "latest"
  static let dockerHub = "docker.io"

  /// Throws `invalidArgument`, with what is wrong, unless `text` is a reference by the grammar. A name with
  /// neither tag nor digest gets the tag `latest`.
  public init(_ text: String) throws {
    guard text.utf8.count <= 512 else { throw Self.invalid(text, "it is longer than 512 bytes") }
    guard !text.isEmpty else { throw BulkheadError(.invalidArgument, "an image reference is empty") }
    var rest = Substring(text)
    if let at = rest.lastIndex(of: "@") {
      let written = rest[rest.index(after: at)...]
      guard let parsed = Digest(String(written)) else {
        throw Self.invalid(text, "after @ stands a digest: sha256: and 64 lower-case hex digits")
      }
      digest = parsed
      rest = rest[..<at]
    } else {
      digest = nil
    }
    let lastSlash = rest.lastIndex(of: "/") ?? rest.startIndex
    if let colon = rest[lastSlash...].lastIndex(of: ":") {
      let written = rest[rest.index(after: colon)...]
      guard Grammar.isTag(written) else {
        throw Self.invalid(text, "a tag is 1 to 128 letters, digits, '_', '.' and '-', and begins with none of '.-'")
      }
      tag = String(written)
      rest = rest[..<colon]
    } else {
      tag = digest == nil ? Self.defaultTag : nil
    }
    (domain, path) = Self.completed(rest)
    guard domain.utf8.count + path.utf8.count < 255 else { throw Self.invalid(text, "its name is too long") }
    guard Grammar.isDomain(domain) else { throw Self.invalid(text, "its registry is not a host name") }
    guard Grammar.isPath(path) else {
      let upper = path.contains(where: \.isUppercase)
      throw Self.invalid(text, upper ? "repository names are lower case" : "its repository name is not valid")
    }
    guard digest != nil || !Grammar.isHex64(rest) else {
      throw Self.invalid(text, "64 hex digits are an image id, not a name")
    }
  }

  /// Registry and path of a name, as Docker completes it: the first component is a registry if it has a dot or a
  /// colon, is `localhost`, or has capitals; else the registry is Docker Hub.
  private static func completed(_ name: Substring) -> (domain: String, path: String) {
    if let slash = name.firstIndex(of: "/") {
      let first = name[..<slash]
      let rest = name[name.index(after: slash)...]
      if first.contains(".") || first.contains(":") || first == "localhost" || first.contains(where: \.isUppercase) {
        let domain = first == "index.docker.io" ? dockerHub : String(first)
        if domain == dockerHub, !rest.contains("/") { return (domain, "library/\(rest)") }
        return (domain, String(rest))
      }
      return (dockerHub, String(name))
    }
    return (dockerHub, "library/\(name)")
  }

  private static func invalid(_ text: String, _ why: String) -> BulkheadError {
    BulkheadError(.invalidArgument, "\"\(printable(text, limit: 128))\" is not an image reference: \(why)")
  }
}
