import AgentProtocol
import ContainerInit
import GRPCCore
import Glibc
import LinuxSystem
import Synchronization

/// The pod that this VM is: its sandbox and its containers by id.
final class Pod: Sendable {
  private enum Sandbox {
    case none, creating
    /// With the files that it puts into every container's /etc.
    case ready(files: [String])
    case stopped
  }

  private enum Entry {
    case creating
    case present(Container)
    case removing
  }

  private struct State {
    var sandbox = Sandbox.none
    var containers: [String: Entry] = [:]
    var lastProject = Pod.rehearsalProject
    var scratchSpace: ScratchSpace?
  }

  let processes: ProcessFactory
  let namespace: PodNamespace
  let images: ImageMounts
  let volumes: Volumes
  let seccomp = SeccompCompiler()
  /// Fires when the guest is ready for containers.
  let booted: Signal
  let disks: any DiskSource
  let usage = Mutex(PodUsageReader())
  private let state = Mutex(State())

  init(processes: ProcessFactory, disks: any DiskSource, booted: Signal) {
    self.processes = processes
    self.disks = disks
    self.booted = booted
    namespace = PodNamespace(processes)
    images = ImageMounts(disks)
    volumes = Volumes(disks: disks, images: images)
  }

  // MARK: Sandbox

  func createSandbox(_ plan: SandboxPlan) async throws {
    try state.withLock { state in
      guard case .none = state.sandbox else {
        throw RPCError(code: .alreadyExists, message: "this VM is a pod's already")
      }
      state.sandbox = .creating
    }
    do {
      try await booted.wait()
      try await onDedicatedThread { [self] in
        try applySandbox(plan)
        try makeDirectories(GuestPath.scratch)
        try disks.mountScratch(serial: plan.scratchSerial, on: GuestPath.scratch)
        let space = try disks.scratchSpace(of: GuestPath.scratch)
        try space?.watch()
        state.withLock { $0.scratchSpace = space }
      }
      await rehearse()
    } catch {
      state.withLock { if case .creating = $0.sandbox { $0.sandbox = .none } }
      throw error
    }
    let files = ["hostname", "hosts"] + (plan.resolvConf.isEmpty ? [] : ["resolv.conf"])
    try state.withLock { state in
      guard case .creating = state.sandbox else { throw Self.stopped }
      state.sandbox = .ready(files: files)
    }
  }

  /// Kills all containers and flushes what they wrote. No container can be made afterwards; one that is being
  /// made, and the sandbox itself, fail with FAILED_PRECONDITION.
  func stopSandbox() async throws {
    let containers = state.withLock { state in
      state.sandbox = .stopped
      return Self.present(state)
    }
    try await onDedicatedThread {
      for container in containers { try container.cgroup.kill() }
    }
    for container in containers { _ = try await container.wait() }
    try await onDedicatedThread { sync() }
  }

  /// Throws FAILED_PRECONDITION before CreateSandbox and after StopSandbox.
  func sandboxFiles() throws -> [String] {
    try state.withLock { state in
      switch state.sandbox {
      case .ready(let files): return files
      case .stopped: throw Self.stopped
      case .none, .creating:
        throw RPCError(code: .failedPrecondition, message: "this VM is no pod's: CreateSandbox has to come first")
      }
    }
  }

  /// What fails because StopSandbox came.
  static let stopped = RPCError(code: .failedPrecondition, message: "the pod was stopped")

  var scratchSpace: ScratchSpace? { state.withLock { $0.scratchSpace } }

  var isStopped: Bool {
    state.withLock { if case .stopped = $0.sandbox { true } else { false } }
  }

  // MARK: Containers

  func container(_ id: String) throws -> Container {
    guard let container = present(id) else {
      throw RPCError(code: .notFound, message: "there is no container \(id.prefix(128))")
    }
    return container
  }

  func present(_ id: String) -> Container? {
    state.withLock { state in
      guard case .present(let container) = state.containers[id] else { return nil }
      return container
    }
  }

  func allContainers() -> [Container] { state.withLock { Self.present($0) } }

  /// Takes the id, and a number for the disk quota's project.
  func reserve(_ id: String) throws -> UInt32 {
    try state.withLock { state in
      guard state.containers[id] == nil else {
        throw RPCError(code: .alreadyExists, message: "there is a container \(id) already")
      }
      state.containers[id] = .creating
      state.lastProject += 1
      return state.lastProject
    }
  }

  func publish(_ container: Container) { state.withLock { $0.containers[container.id] = .present(container) } }
  func release(_ id: String) { state.withLock { $0.containers[id] = nil } }

  /// The container, if the caller is the one to remove it. Throws FAILED_PRECONDITION while it is being made
  /// or removed by another.
  func beginRemoval(_ id: String) throws -> Container? {
    try state.withLock { state in
      switch state.containers[id] {
      case nil: return nil
      case .present(let container):
        state.containers[id] = .removing
        return container
      case .creating, .removing:
        throw RPCError(code: .failedPrecondition, message: "container \(id) is being created or removed")
      }
    }
  }

  private static func present(_ state: State) -> [Container] {
    state.containers.values.compactMap { if case .present(let container) = $0 { container } else { nil } }
  }
}
