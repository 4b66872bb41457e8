import CRI
import Common
import GRPCCore
import Pods

/// New limits for what runs.
extension RuntimeService {
  public func updateContainerResources(
    request: Runtime_V1_UpdateContainerResourcesRequest, context: ServerContext
  ) async throws -> Runtime_V1_UpdateContainerResourcesResponse {
    if request.hasWindows { throw Validation.invalid("windows", "is set: this runtime runs Linux containers") }
    try await pods.update(container: request.containerID, try resourceChanges(request.linux))
    return .init()
  }

  public func updatePodSandboxResources(
    request: Runtime_V1_UpdatePodSandboxResourcesRequest, context: ServerContext
  ) async throws -> Runtime_V1_UpdatePodSandboxResourcesResponse {
    let resources = try podResources(
      request.hasResources ? request.resources : nil, overhead: request.hasOverhead ? request.overhead : nil)
    try await pods.update(pod: request.podSandboxID, resources ?? PodResources())
    return .init()
  }
}
