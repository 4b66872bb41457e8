import CRI
import Common

extension Daemon {
  /// The pod that a user means: by id, NAMESPACE/NAME, NAME, or a prefix of an id, in this order.
  func pod(_ name: String) async throws -> Runtime_V1_PodSandbox {
    let pods = try await runtime.listPodSandbox(.init(), options: quick).items
    return try pick(name, "pod", from: pods) {
      $0.id
    } names: {
      ["\($0.metadata.namespace)/\($0.metadata.name)", $0.metadata.name]
    }
  }

  /// The container that a user means: by id, NAMESPACE/POD/NAME, POD/NAME, NAME, or a prefix of an id.
  func container(_ name: String) async throws -> Runtime_V1_Container {
    let containers = try await runtime.listContainers(.init(), options: quick).containers
    let pods = try await podsByID()
    return try pick(name, "container", from: containers) {
      $0.id
    } names: { container in
      let own = container.metadata.name
      guard let pod = pods[container.podSandboxID]?.metadata else { return [own] }
      return ["\(pod.namespace)/\(pod.name)/\(own)", "\(pod.name)/\(own)", own]
    }
  }

  func podsByID() async throws -> [String: Runtime_V1_PodSandbox] {
    let pods = try await runtime.listPodSandbox(.init(), options: quick).items
    return Dictionary(pods.map { ($0.id, $0) }) { first, _ in first }
  }

  /// The image with this name, id or prefix of an id; nil if there is none.
  func image(_ name: String) async throws -> Runtime_V1_Image? {
    let answer = try await images.imageStatus(.with { $0.image.image = name }, options: quick)
    if answer.hasImage { return answer.image }
    let prefix = name.hasPrefix("sha256:") ? name : "sha256:\(name)"
    guard isIDPrefix(prefix.dropFirst(7)) else { return nil }
    let matches = try await images.listImages(.init(), options: quick).images.filter { $0.id.hasPrefix(prefix) }
    guard matches.count < 2 else { throw ambiguous(name, "images", matches.map(\.id)) }
    return matches.first
  }
}

/// Names are tried before prefixes, so that a pod called "abc" is not hidden by an id abc….
func pick<Item>(
  _ name: String, _ kind: String, from items: [Item], id: (Item) -> String, names: (Item) -> [String]
) throws -> Item {
  if let exact = items.first(where: { id($0) == name }) { return exact }
  let named = items.filter { names($0).contains(name) }
  let matches = named.isEmpty && isIDPrefix(name[...]) ? items.filter { id($0).hasPrefix(name) } : named
  guard let match = matches.first else { throw CommandFailure("there is no \(kind) \"\(printable(name))\"") }
  guard matches.count == 1 else { throw ambiguous(name, "\(kind)s", matches.map(id)) }
  return match
}

private func ambiguous(_ name: String, _ kinds: String, _ ids: [String]) -> CommandFailure {
  let shown = ids.sorted().prefix(5).map(shortID).joined(separator: ", ")
  return CommandFailure(
    "\"\(printable(name))\" could be \(ids.count) \(kinds): \(shown)\(ids.count > 5 ? ", …" : "")")
}

private func isIDPrefix(_ text: Substring) -> Bool {
  !text.isEmpty && text.utf8.count <= 64
    && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
}

/// The first 13 digits, without the algorithm of a digest.
func shortID(_ id: String) -> String {
  String((id.hasPrefix("sha256:") ? id.dropFirst(7) : id[...]).prefix(13))
}
