import Common

/// Where a pod is in its life.
public enum PodState: String, Sendable, Codable {
  /// RunPodSandbox has not answered yet. Such a pod does not survive the daemon.
  case starting
  case ready
  /// Its VM is gone, or going: stopped on request, or dead (`PodStatus.reason` says why).
  case stopped
}

/// Where a container is in its life, with what that state knows. Times are nanoseconds since 1970.
public enum ContainerState: Sendable, Codable, Equatable {
  /// CreateContainer has not answered yet.
  case creating
  case created
  case running(startedAt: Int64, pid: UInt32)
  case exited(startedAt: Int64?, finishedAt: Int64, exit: ContainerExit)

  public var isRunning: Bool { if case .running = self { true } else { false } }
  public var isExited: Bool { if case .exited = self { true } else { false } }
}

/// How a container ended.
public struct ContainerExit: Sendable, Codable, Equatable {
  /// 0 to 255; 128 + signal where a signal ended it.
  public var code: Int32
  /// Completed, Error, OOMKilled, StartError, as the CRI's clients know them.
  public var reason: String
  /// For people; may be empty.
  public var message: String

  public init(code: Int32, reason: String, message: String = "") {
    self.code = code
    self.reason = reason
    self.message = message
  }

  /// The exit of a process that ran, with the reason that follows from it. One that succeeded although a
  /// child of its was killed for memory keeps its 0, as with containerd.
  public static func ended(code: Int32, oomKilled: Bool) -> ContainerExit {
    if oomKilled {
      return ContainerExit(
        code: code == 0 ? 0 : 137, reason: "OOMKilled", message: "out of memory: a process was killed")
    }
    return ContainerExit(code: code, reason: code == 0 ? "Completed" : "Error")
  }

  /// The program could not be started at all.
  public static func startError(_ message: String) -> ContainerExit {
    ContainerExit(code: 128, reason: "StartError", message: message)
  }

  /// The VM went away beneath it.
  public static func machineGone(_ why: String) -> ContainerExit {
    ContainerExit(code: 137, reason: "Error", message: why)
  }
}

/// One step of RunPodSandbox. Microseconds since the call came in.
public struct BootPhase: Sendable, Codable, Equatable {
  public var name: String
  public var startMicroseconds: UInt64
  public var durationMicroseconds: UInt64
}

/// A pod at one moment, for readers; never waits for anything.
public struct PodStatus: Sendable {
  public var id: PodID
  public var spec: PodSpec
  public var state: PodState
  /// Why it is stopped though nobody asked; empty otherwise.
  public var reason: String
  public var createdAt: Int64
  public var phases: [BootPhase]
  public var vcpus: Int
  public var memory: ByteCount
  public var uid: UInt32
  public var networkNamespace: String
  /// On the pod's first network, the main one first.
  public var addresses: [String]
}

/// A container at one moment, for readers; never waits for anything.
public struct ContainerStatus: Sendable {
  public var id: ContainerID
  public var podID: PodID
  public var configuration: ContainerConfiguration
  public var state: ContainerState
  public var createdAt: Int64
  public var imageID: Digest
  /// A digest reference of the image where it has one, else its id.
  public var imageRef: String
  /// Absolute; empty: no log is kept.
  public var logPath: String
  public var user: ResolvedUser
  public var stopSignal: Int32
}

/// Who a container's process runs as, names looked up in the image.
public struct ResolvedUser: Sendable, Codable, Equatable {
  public var uid: UInt32
  public var gid: UInt32
  public var supplementalGroups: [UInt32]
}
