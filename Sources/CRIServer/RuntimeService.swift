import CRI
import Common
import Foundation
import GRPCCore
import HostCgroup
import Pods
import Streaming

/// The runtime handlers that RunPodSandbox takes.
enum RuntimeHandlers {
  static let name = "bulkhead"
}

/// What the Version and Status calls say of this daemon.
public struct RuntimeIdentity: Sendable {
  public var version: String
  /// Shown by `Status` with verbose: accelerator, hypervisor, paths.
  public var info: [String: String]
  /// Who names the node's cgroups; the kubelet does as we say.
  public var cgroupDriver: CgroupDriver
  /// What stats name as the file system of containers' writable layers; ImageFsInfo names the same.
  public var scratchDirectory: String
  /// Whether pods can be given a network, and if not why.
  public var network: @Sendable () async -> RuntimeNetworkStatus

  public init(
    version: String, info: [String: String], cgroupDriver: CgroupDriver, scratchDirectory: String,
    network: @escaping @Sendable () async -> RuntimeNetworkStatus
  ) {
    self.version = version
    self.info = info
    self.cgroupDriver = cgroupDriver
    self.scratchDirectory = scratchDirectory
    self.network = network
  }
}

public struct RuntimeNetworkStatus: Sendable {
  public var ready: Bool
  public var reason: String
  public var message: String
  public init(ready: Bool, reason: String, message: String) {
    self.ready = ready
    self.reason = reason
    self.message = message
  }
}

/// The CRI's RuntimeService: translates, validates, calls `PodManager`. No logic of its own.
public struct RuntimeService: Runtime_V1_RuntimeService.SimpleServiceProtocol {
  let pods: PodManager
  let identity: RuntimeIdentity
  let streaming: StreamingServer

  public init(pods: PodManager, identity: RuntimeIdentity, streaming: StreamingServer) {
    self.pods = pods
    self.identity = identity
    self.streaming = streaming
  }

  // MARK: - The runtime

  public func version(
    request: Runtime_V1_VersionRequest, context: ServerContext
  ) async throws -> Runtime_V1_VersionResponse {
    .with {
      $0.version = "0.1.0"
      $0.runtimeName = "bulkhead"
      $0.runtimeVersion = identity.version
      $0.runtimeApiVersion = "v1"
    }
  }

  public func status(
    request: Runtime_V1_StatusRequest, context: ServerContext
  ) async throws -> Runtime_V1_StatusResponse {
    let network = await identity.network()
    return try .with {
      $0.status.conditions = [
        .with {
          $0.type = "RuntimeReady"
          $0.status = true
        },
        .with {
          $0.type = "NetworkReady"
          $0.status = network.ready
          $0.reason = network.reason
          $0.message = network.message
        },
      ]
      $0.runtimeHandlers = ["", RuntimeHandlers.name].map { name in
        .with {
          $0.name = name
          $0.features.recursiveReadOnlyMounts = true
        }
      }
      $0.features.supplementalGroupsPolicy = true
      if request.verbose { $0.info = ["info": try json(identity.info)] }
    }
  }

  public func runtimeConfig(
    request: Runtime_V1_RuntimeConfigRequest, context: ServerContext
  ) async throws -> Runtime_V1_RuntimeConfigResponse {
    .with { $0.linux.cgroupDriver = identity.cgroupDriver == .systemd ? .systemd : .cgroupfs }
  }

  // MARK: - Pod sandboxes

  public func runPodSandbox(
    request: Runtime_V1_RunPodSandboxRequest, context: ServerContext
  ) async throws -> Runtime_V1_RunPodSandboxResponse {
    let id = try await pods.run(try podSpec(request))
    return .with { $0.podSandboxID = id.text }
  }

  public func stopPodSandbox(
    request: Runtime_V1_StopPodSandboxRequest, context: ServerContext
  ) async throws -> Runtime_V1_StopPodSandboxResponse {
    try await pods.stop(pod: request.podSandboxID)
    return .init()
  }

  public func removePodSandbox(
    request: Runtime_V1_RemovePodSandboxRequest, context: ServerContext
  ) async throws -> Runtime_V1_RemovePodSandboxResponse {
    try await pods.remove(pod: request.podSandboxID)
    return .init()
  }

  public func podSandboxStatus(
    request: Runtime_V1_PodSandboxStatusRequest, context: ServerContext
  ) async throws -> Runtime_V1_PodSandboxStatusResponse {
    let pod = try pods.status(pod: request.podSandboxID)
    return try .with {
      $0.status = .init(pod)
      $0.timestamp = Int64(Date().timeIntervalSince1970 * 1e9)
      $0.containersStatuses = pods.containerStatuses.filter { $0.podID == pod.id }.map(Runtime_V1_ContainerStatus.init)
      if request.verbose { $0.info = ["info": try json(PodInfo(pod))] }
    }
  }

  public func listPodSandbox(
    request: Runtime_V1_ListPodSandboxRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListPodSandboxResponse {
    .with { $0.items = selectedPods(request.filter) }
  }

  public func streamPodSandboxes(
    request: Runtime_V1_StreamPodSandboxesRequest, response: RPCWriter<Runtime_V1_StreamPodSandboxesResponse>,
    context: ServerContext
  ) async throws {
    for part in selectedPods(request.filter).parts { try await response.write(.with { $0.podSandboxes = part }) }
  }

  // MARK: - Containers

  public func createContainer(
    request: Runtime_V1_CreateContainerRequest, context: ServerContext
  ) async throws -> Runtime_V1_CreateContainerResponse {
    guard request.hasConfig, request.config.hasMetadata else {
      throw Validation.invalid("config.metadata", "is missing")
    }
    let configuration = try containerConfiguration(request.config)
    guard !configuration.privileged || request.sandboxConfig.linux.securityContext.privileged else {
      throw Validation.invalid(
        "config.linux.security_context.privileged",
        "is set, but not in sandbox_config: a pod says so for its containers")
    }
    let id = try await pods.createContainer(inPod: request.podSandboxID, configuration)
    return .with { $0.containerID = id.text }
  }

  public func startContainer(
    request: Runtime_V1_StartContainerRequest, context: ServerContext
  ) async throws -> Runtime_V1_StartContainerResponse {
    try await pods.start(container: request.containerID)
    return .init()
  }

  public func stopContainer(
    request: Runtime_V1_StopContainerRequest, context: ServerContext
  ) async throws -> Runtime_V1_StopContainerResponse {
    let grace = try Validation.notNegative(request.timeout, "timeout")
    try await pods.stop(container: request.containerID, grace: .seconds(min(grace, Self.longestGrace)))
    return .init()
  }

  /// A day, seconds: whoever asks for more means forever.
  private static let longestGrace: Int64 = 86_400

  public func removeContainer(
    request: Runtime_V1_RemoveContainerRequest, context: ServerContext
  ) async throws -> Runtime_V1_RemoveContainerResponse {
    try await pods.remove(container: request.containerID)
    return .init()
  }

  public func listContainers(
    request: Runtime_V1_ListContainersRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListContainersResponse {
    .with { $0.containers = selectedContainers(request.filter) }
  }

  public func streamContainers(
    request: Runtime_V1_StreamContainersRequest, response: RPCWriter<Runtime_V1_StreamContainersResponse>,
    context: ServerContext
  ) async throws {
    for part in selectedContainers(request.filter).parts { try await response.write(.with { $0.containers = part }) }
  }

  public func containerStatus(
    request: Runtime_V1_ContainerStatusRequest, context: ServerContext
  ) async throws -> Runtime_V1_ContainerStatusResponse {
    let container = try pods.status(container: request.containerID)
    return try .with {
      $0.status = .init(container)
      if request.verbose { $0.info = ["info": try json(ContainerInfo(container))] }
    }
  }

  public func execSync(
    request: Runtime_V1_ExecSyncRequest, context: ServerContext
  ) async throws -> Runtime_V1_ExecSyncResponse {
    guard let program = request.cmd.first, !program.isEmpty else { throw Validation.invalid("cmd", "is empty") }
    let timeout = try Validation.notNegative(request.timeout, "timeout")
    let result = try await pods.exec(
      container: request.containerID, command: try Validation.noNUL(request.cmd, "cmd"),
      timeout: timeout == 0 ? nil : .seconds(timeout))
    return .with {
      // Both streams fit the 16 MiB that clients take in one message.
      $0.stdout = Data(result.stdout.prefix(Self.maximumAnswer))
      $0.stderr = Data(result.stderr.prefix(Self.maximumAnswer - $0.stdout.count))
      $0.exitCode = result.exitCode
    }
  }

  private static let maximumAnswer = (16 << 20) - 4096

  public func reopenContainerLog(
    request: Runtime_V1_ReopenContainerLogRequest, context: ServerContext
  ) async throws -> Runtime_V1_ReopenContainerLogResponse {
    try await pods.reopenLog(container: request.containerID)
    return .init()
  }

  // MARK: - Filters

  private func selectedPods(_ filter: Runtime_V1_PodSandboxFilter) -> [Runtime_V1_PodSandbox] {
    pods.podStatuses.filter { $0.state != .starting }
      .filter { filter.id.isEmpty || $0.id.text.hasPrefix(filter.id) }
      .filter { !filter.hasState || ($0.state == .ready) == (filter.state.state == .sandboxReady) }
      .filter { matches(filter.labelSelector, $0.spec.labels) }
      .sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }.map(Runtime_V1_PodSandbox.init)
  }

  private func selectedContainers(_ filter: Runtime_V1_ContainerFilter) -> [Runtime_V1_Container] {
    pods.containerStatuses
      .filter { filter.id.isEmpty || $0.id.text.hasPrefix(filter.id) }
      .filter { filter.podSandboxID.isEmpty || $0.podID.text.hasPrefix(filter.podSandboxID) }
      .filter { !filter.hasState || Runtime_V1_ContainerState($0.state) == filter.state.state }
      .filter { matches(filter.labelSelector, $0.configuration.labels) }
      .sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }.map(Runtime_V1_Container.init)
  }

  func matches(_ selector: [String: String], _ labels: [String: String]) -> Bool {
    selector.allSatisfy { labels[$0.key] == $0.value }
  }
}

func json(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}

extension Array {
  /// Slices of a size that keeps a message of the Stream* calls well under 16 MiB.
  var parts: [[Element]] {
    stride(from: 0, to: count, by: 256).map { Array(self[$0..<Swift.min($0 + 256, count)]) }
  }
}
