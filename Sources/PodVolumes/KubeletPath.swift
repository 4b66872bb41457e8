/// What a path says of who made it: volumes lie below the kubelet's directory as
/// .../pods/UID/volumes/PLUGIN/NAME.
public struct KubeletPath: Sendable, Equatable {
  public enum Plugin: Sendable, Equatable {
    /// Written by the kubelet's atomic writer, which swaps `..data`.
    case configMap, secret, projected, downwardAPI
    case emptyDir
    case other
  }

  public var podUID: String
  public var plugin: Plugin

  /// Nil for a path that is not a volume's own directory, but above, below or elsewhere.
  public init?(_ path: String) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: true).suffix(5).map(String.init)
    guard path.hasPrefix("/"), parts.count == 5, parts[0] == "pods", parts[2] == "volumes" else { return nil }
    podUID = parts[1]
    switch parts[3] {
    case "kubernetes.io~configmap": plugin = .configMap
    case "kubernetes.io~secret": plugin = .secret
    case "kubernetes.io~projected": plugin = .projected
    case "kubernetes.io~downward-api": plugin = .downwardAPI
    case "kubernetes.io~empty-dir": plugin = .emptyDir
    default: plugin = .other
    }
  }

  public var isWrittenAtomically: Bool {
    switch plugin {
    case .configMap, .secret, .projected, .downwardAPI: true
    case .emptyDir, .other: false
    }
  }
}
