import CRI
import Common
import GRPCCore
import Pods

/// What pods and containers use. A list asks all pods at once and answers without those whose guest hangs,
/// or with what they said last, at the time when they said it.
extension RuntimeService {
  public func containerStats(
    request: Runtime_V1_ContainerStatsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ContainerStatsResponse {
    let container = try pods.status(container: request.containerID)
    let usage = await pods.usage(of: [container.podID])[container.podID]
    if usage == nil, try pods.status(pod: container.podID.text).state == .ready {
      throw unanswered(container.podID)
    }
    return .with { $0.stats = .init(container, usage, scratch: identity.scratchDirectory) }
  }

  public func listContainerStats(
    request: Runtime_V1_ListContainerStatsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListContainerStatsResponse {
    let stats = await selectedStats(request.filter)
    return .with { $0.stats = stats }
  }

  public func streamContainerStats(
    request: Runtime_V1_StreamContainerStatsRequest, response: RPCWriter<Runtime_V1_StreamContainerStatsResponse>,
    context: ServerContext
  ) async throws {
    for part in await selectedStats(request.filter).parts {
      try await response.write(.with { $0.containerStats = part })
    }
  }

  public func podSandboxStats(
    request: Runtime_V1_PodSandboxStatsRequest, context: ServerContext
  ) async throws -> Runtime_V1_PodSandboxStatsResponse {
    let pod = try pods.status(pod: request.podSandboxID)
    guard pod.state == .ready else {
      throw BulkheadError(.failedPrecondition, "pod \(pod.spec.metadata.displayName) is not running: it uses nothing")
    }
    guard let usage = await pods.usage(of: [pod.id])[pod.id] else { throw unanswered(pod.id) }
    return .with { $0.stats = podStats(pod, usage) }
  }

  public func listPodSandboxStats(
    request: Runtime_V1_ListPodSandboxStatsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListPodSandboxStatsResponse {
    let stats = await selectedStats(request.filter)
    return .with { $0.stats = stats }
  }

  public func streamPodSandboxStats(
    request: Runtime_V1_StreamPodSandboxStatsRequest, response: RPCWriter<Runtime_V1_StreamPodSandboxStatsResponse>,
    context: ServerContext
  ) async throws {
    for part in await selectedStats(request.filter).parts {
      try await response.write(.with { $0.podSandboxStats = part })
    }
  }

  private func unanswered(_ pod: PodID) -> BulkheadError {
    BulkheadError(
      .deadlineExceeded,
      "the guest of pod \(pod.short) did not answer; `bulkheadctl console \(pod.short)` may say why")
  }

  // MARK: - Filters

  private func selectedStats(_ filter: Runtime_V1_ContainerStatsFilter) async -> [Runtime_V1_ContainerStats] {
    let containers = pods.containerStatuses.filter { $0.state.isRunning }
      .filter { filter.id.isEmpty || $0.id.text.hasPrefix(filter.id) }
      .filter { filter.podSandboxID.isEmpty || $0.podID.text.hasPrefix(filter.podSandboxID) }
      .filter { matches(filter.labelSelector, $0.configuration.labels) }
      .sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
    let usages = await pods.usage(of: Set(containers.map(\.podID)))
    return containers.compactMap { container in
      guard let usage = usages[container.podID], usage.containers[container.id] != nil else { return nil }
      return .init(container, usage, scratch: identity.scratchDirectory)
    }
  }

  private func selectedStats(_ filter: Runtime_V1_PodSandboxStatsFilter) async -> [Runtime_V1_PodSandboxStats] {
    let selected = pods.podStatuses.filter { $0.state == .ready }
      .filter { filter.id.isEmpty || $0.id.text.hasPrefix(filter.id) }
      .filter { matches(filter.labelSelector, $0.spec.labels) }
      .sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
    let usages = await pods.usage(of: selected.map(\.id))
    return selected.compactMap { pod in usages[pod.id].map { podStats(pod, $0) } }
  }

  private func podStats(_ pod: PodStatus, _ usage: PodUsage) -> Runtime_V1_PodSandboxStats {
    let containers = pods.containerStatuses.filter { $0.podID == pod.id && $0.state.isRunning }
      .sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    return .init(pod, usage, containers, scratch: identity.scratchDirectory)
  }
}
