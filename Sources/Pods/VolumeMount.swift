/// Something that a container has at a place of its own choice (CRI Mount), validated in form.
public struct VolumeMount: Sendable, Codable, Equatable {
  public enum Source: Sendable, Codable, Equatable {
    case host(path: String, Propagation)
    /// `subPath` is relative; empty: all of the image.
    case image(reference: String, subPath: String)
  }

  /// Whether mounts made later pass: not at all, from the host into the container, or both ways.
  public enum Propagation: String, Sendable, Codable { case `private`, hostToContainer, bidirectional }

  public enum ReadOnly: String, Sendable, Codable {
    case no
    /// But for what the host has mounted below it.
    case top
    case recursive
  }

  /// Absolute.
  public var destination: String
  public var source: Source
  public var readonly: ReadOnly
  /// nosuid, noexec and the like, besides what follows from the rest.
  public var options: [String]

  public init(destination: String, source: Source, readonly: ReadOnly, options: [String] = []) {
    self.destination = destination
    self.source = source
    self.readonly = readonly
    self.options = options
  }
}

/// A block device of the host's that a container has as a device (CRI Device).
public struct HostDevice: Sendable, Codable, Equatable {
  public var hostPath: String
  public var destination: String
  public var permissions: Permissions

  public struct Permissions: OptionSet, Sendable, Codable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let read = Permissions(rawValue: 1)
    public static let write = Permissions(rawValue: 2)
    public static let makeNode = Permissions(rawValue: 4)

    public var letters: String {
      (contains(.read) ? "r" : "") + (contains(.write) ? "w" : "") + (contains(.makeNode) ? "m" : "")
    }
  }

  public init(hostPath: String, destination: String, permissions: Permissions) {
    self.hostPath = hostPath
    self.destination = destination
    self.permissions = permissions
  }
}
