import Common
import Foundation
import GRPCCore
import Hypervisor
import Images
import OperatorAPI
import Pods

typealias Operator = Bulkhead_Operator_V1_Operator

/// What `bulkheadctl` asks beyond the CRI.
public struct OperatorService: Bulkhead_Operator_V1_Operator.SimpleServiceProtocol {
  let pods: PodManager
  let images: ImageStore
  let node: NodeDescription

  /// What the daemon runs on, for people.
  public struct NodeDescription: Sendable {
    public var version: String
    public var acceleration: Acceleration
    public var hypervisor: String
    public var guestKernelPath: String
    /// Whether `debug` is served, and the image its shell comes from where none is named.
    public var guestShell = false
    public var debugImage: String?
    public init(version: String, acceleration: Acceleration, hypervisor: String, guestKernelPath: String) {
      self.version = version
      self.acceleration = acceleration
      self.hypervisor = hypervisor
      self.guestKernelPath = guestKernelPath
    }
  }

  public init(pods: PodManager, images: ImageStore, node: NodeDescription) {
    self.pods = pods
    self.images = images
    self.node = node
  }

  public func version(
    request: Bulkhead_Operator_V1_VersionRequest, context: ServerContext
  ) async throws -> Bulkhead_Operator_V1_VersionResponse {
    .with {
      $0.version = node.version
      $0.accelerator = node.acceleration.accelerator.rawValue
      $0.acceleratorReason = node.acceleration.reason
      $0.hypervisor = node.hypervisor
      $0.guestKernelPath = node.guestKernelPath
      $0.daemonPid = UInt32(getpid())
      $0.daemonResidentBytes = residentBytes()
    }
  }

  /// VmRSS of this process, from the second number of /proc/self/statm (proc(5)), pages of 4 KiB.
  private func residentBytes() -> UInt64 {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let pages = text.split(separator: " ").dropFirst().first.flatMap { UInt64($0) } ?? 0
    return pages * 4096
  }

  // MARK: - Pods

  public func inspectPod(
    request: Bulkhead_Operator_V1_InspectPodRequest, context: ServerContext
  ) async throws -> Bulkhead_Operator_V1_InspectPodResponse {
    let pod = try pods.status(pod: request.podID)
    let inspection = try await pods.inspect(pod: pod.id.text)
    return .with {
      $0.describe(pod)
      if let machine = inspection.machine { $0.vm = .init(machine, uid: pod.uid) }
      $0.guest = .init(inspection)
      $0.containers = pods.containerStatuses.filter { $0.podID == pod.id }
        .sorted { $0.createdAt < $1.createdAt }.map(Bulkhead_Operator_V1_ContainerSummary.init)
    }
  }

  public func console(
    request: Bulkhead_Operator_V1_ConsoleRequest,
    response: RPCWriter<Bulkhead_Operator_V1_ConsoleChunk>, context: ServerContext
  ) async throws {
    let pod = try pods.status(pod: request.podID)
    guard let path = try await pods.inspect(pod: pod.id.text).machine?.consolePath else {
      throw BulkheadError(
        .failedPrecondition, "pod \(pod.spec.metadata.displayName) has no virtual machine: it is \(pod.state.rawValue)")
    }
    var reader = try ConsoleReader(path: path, tail: request.tailBytes)
    defer { reader.close() }
    while true {
      let data = try reader.read()
      if !data.isEmpty {
        try await response.write(.with { $0.data = data })
      } else if !request.follow || ((try? pods.status(pod: pod.id.text))?.state ?? .stopped) != .ready {
        return
      } else {
        try await Task.sleep(for: .milliseconds(200))
      }
    }
  }

  // MARK: - Images

  public func pullImage(
    request: Bulkhead_Operator_V1_PullImageRequest,
    response: RPCWriter<Bulkhead_Operator_V1_PullImageProgress>, context: ServerContext
  ) async throws {
    let image = try Validation.name(request.image, "image", limit: 1024)
    let credentials = try RegistryCredentials(
      username: request.username, password: request.password, auth: "", serverAddress: "", identityToken: "",
      registryToken: "")
    // Only the newest progress matters to a slow reader.
    let (progress, feed) = AsyncStream.makeStream(of: PullProgress.self, bufferingPolicy: .bufferingNewest(1))
    async let record: ImageRecord = {
      defer { feed.finish() }
      return try await images.pull(image, credentials: credentials) { feed.yield($0) }
    }()
    for await step in progress { try await response.write(.init(step)) }
    let id = try await record.id
    try await response.write(
      .with {
        $0.phase = "done"
        $0.imageID = id.description
      })
  }

  public func importImage(
    request: Bulkhead_Operator_V1_ImportImageRequest, context: ServerContext
  ) async throws -> Bulkhead_Operator_V1_ImportImageResponse {
    let path = try Validation.absolutePath(try Validation.name(request.path, "path", limit: 4096), "path")
    let records = try await images.importImage(path: path, name: request.name.isEmpty ? nil : request.name)
    return .with {
      $0.images = records.map { record in
        .with {
          $0.id = record.id.description
          $0.names = record.tags
        }
      }
    }
  }
}

extension Bulkhead_Operator_V1_InspectPodResponse {
  fileprivate mutating func describe(_ pod: PodStatus) {
    id = pod.id.text
    namespace = pod.spec.metadata.namespace
    name = pod.spec.metadata.name
    uid = pod.spec.metadata.uid
    attempt = pod.spec.metadata.attempt
    state = pod.state.rawValue
    reason = pod.reason
    createdNanoseconds = pod.createdAt
    networkNamespace = pod.networkNamespace
    bootPhases = pod.phases.map { phase in
      .with {
        $0.name = phase.name
        $0.startMicroseconds = phase.startMicroseconds
        $0.durationMicroseconds = phase.durationMicroseconds
      }
    }
  }
}

extension Bulkhead_Operator_V1_VirtualMachine {
  fileprivate init(_ machine: MachineStatus, uid: UInt32) {
    self.init()
    accelerator = machine.accelerator.rawValue
    qemuPid = machine.qemuPID ?? 0
    vsockPid = machine.vsockDevicePID ?? 0
    vcpus = UInt32(clamping: machine.vcpus)
    memoryBytes = machine.memory.bytes
    qemuResidentBytes = machine.qemuResident.bytes
    consolePath = machine.consolePath
    self.uid = uid
    disks = machine.disks.map { disk in
      .with {
        $0.serial = disk.serial
        $0.sizeBytes = disk.extents.reduce(0) { $0 &+ $1.size.bytes }
        $0.readonly = disk.readonly
        $0.files = UInt32(clamping: disk.extents.count)
      }
    }
  }
}

extension Bulkhead_Operator_V1_Guest {
  fileprivate init(_ inspection: PodInspection) {
    self.init()
    unreachable = inspection.guestError
    guard let guest = inspection.guest else { return }
    kernelRelease = guest.kernelRelease
    agentVersion = guest.agentVersion
    cpus = guest.cpus
    memoryTotalBytes = guest.memoryTotal.bytes
    memoryAvailableBytes = guest.memoryAvailable.bytes
    agentResidentBytes = guest.agentResident.bytes
    uptimeMilliseconds = guest.uptimeMilliseconds
  }
}

extension Bulkhead_Operator_V1_ContainerSummary {
  fileprivate init(_ container: ContainerStatus) {
    self.init()
    id = container.id.text
    name = container.configuration.name
    image = container.configuration.image
    logPath = container.logPath
    switch container.state {
    case .creating, .created: state = "created"
    case .running(_, let pid):
      state = "running"
      self.pid = pid
    case .exited(_, _, let exit):
      state = "exited"
      exitCode = exit.code
    }
  }
}

extension Bulkhead_Operator_V1_PullImageProgress {
  fileprivate init(_ progress: PullProgress) {
    self.init()
    phase = progress.phase.rawValue
    bytesDone = progress.bytesDone
    bytesTotal = progress.bytesTotal
    layersDone = UInt32(clamping: progress.layersDone)
    layersTotal = UInt32(clamping: progress.layersTotal)
  }
}
