import Common

/// Where a pod's processes go, as a path below the root of each hierarchy: "/kubepods/burstable/pod1/bulkhead-ID".
public struct CgroupPath: Sendable, Equatable, Hashable, Codable, CustomStringConvertible {
  /// Absolute, without empty, `.` and `..` components.
  public let text: String

  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let parts = Self.components(text), !parts.isEmpty else {
      throw BulkheadError(.dataLoss, "the state database names an impossible cgroup: \(printable(text, limit: 128))")
    }
    self.text = text
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }

  /// The cgroup of a pod's processes in the CRI's `cgroup_parent`, which is a path (cgroupfs) or the name of
  /// a systemd slice. Throws `invalidArgument`.
  public init(parent: String, pod: PodID) throws(BulkheadError) {
    guard parent.utf8.count <= 2048, !parent.utf8.contains(0), let parts = Self.components(parent) else {
      throw BulkheadError(
        .invalidArgument,
        "cgroup_parent is not a path of a cgroup or the name of a slice: \(printable(parent, limit: 128))")
    }
    if let slice = parts.last, slice.hasSuffix(".slice") {
      let parents = parts.count == 1 ? try Self.slices(slice) : parts
      text = Self.joined(parents + ["bulkhead-\(pod).scope"])
    } else {
      text = Self.joined(parts + ["bulkhead-\(pod)"])
    }
  }

  public var description: String { text }

  /// The paths from the topmost cgroup down to this one.
  var levels: [String] {
    var path = ""
    return text.split(separator: "/").map { part in
      path += "/\(part)"
      return path
    }
  }

  private static func components(_ path: String) -> [String]? {
    let parts = path.split(separator: "/").map(String.init)
    guard !parts.contains(where: { $0 == "." || $0 == ".." || $0.utf8.count > 255 }) else { return nil }
    return parts.allSatisfy { $0.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7f } } ? parts : nil
  }

  private static func joined(_ parts: [String]) -> String { parts.map { "/\($0)" }.joined() }

  /// A slice's name says where it is: a-b-c.slice is in a-b.slice, which is in a.slice (systemd.slice(5)).
  private static func slices(_ name: String) throws(BulkheadError) -> [String] {
    let stem = name.dropLast(".slice".count)
    // The root slice.
    if stem == "-" { return [] }
    let parts = stem.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.allSatisfy({ !$0.isEmpty }) else {
      throw BulkheadError(.invalidArgument, "cgroup_parent is not a slice's name: \(printable(name, limit: 128))")
    }
    return parts.indices.map { parts[...$0].joined(separator: "-") + ".slice" }
  }
}
