import Common
import OCISpec

/// Which of an index's manifests this node runs.
struct PlatformChoice: Sendable {
  var os = "linux"
  var architecture = "amd64"

  /// The manifest for this platform. Of several, the one that asks least of the processor: amd64 without variant
  /// or v1, then v2 and up. One that names no platform serves where none matches: its configuration is checked
  /// anyway. Throws `failedPrecondition`, with what there is.
  func choose(_ index: Index) throws -> Descriptor {
    let matching = index.manifests.filter { $0.platform?.os == os && $0.platform?.architecture == architecture }
    if let best = matching.min(by: { level($0) < level($1) }) { return best }
    if let unnamed = index.manifests.first(where: { $0.platform == nil && isManifest($0) }) { return unnamed }
    let there = index.manifests.compactMap(\.platform).filter { $0.os != "unknown" }
      .map { [$0.os, $0.architecture, $0.variant].compactMap(\.self).joined(separator: "/") }
    let list = printable(Set(there).sorted().joined(separator: ", "), limit: 300)
    throw BulkheadError(
      .failedPrecondition,
      "the image has nothing for \(os)/\(architecture), only for \(list.isEmpty ? "nothing" : list)")
  }

  /// Throws `failedPrecondition` if an image's own configuration says that it is for another platform.
  func check(_ configuration: ImageConfiguration) throws {
    let os = configuration.os ?? self.os
    let architecture = configuration.architecture ?? self.architecture
    guard os == self.os || os.isEmpty, architecture == self.architecture || architecture.isEmpty else {
      throw BulkheadError(
        .failedPrecondition,
        "the image is for \(printable("\(os)/\(architecture)", limit: 100)), this node runs \(self.os)/\(self.architecture)"
      )
    }
  }

  private func level(_ descriptor: Descriptor) -> Int {
    guard let variant = descriptor.platform?.variant, !variant.isEmpty else { return 1 }
    return variant.first == "v" ? Int(variant.dropFirst()) ?? Int.max : Int.max
  }

  private func isManifest(_ descriptor: Descriptor) -> Bool {
    descriptor.mediaType == MediaType.manifest || descriptor.mediaType == MediaType.dockerManifest
  }
}
