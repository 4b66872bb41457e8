import CRI
import Common
import GRPCCore

/// The calls that this version does not serve. Each answers UNIMPLEMENTED and says so.
extension RuntimeService {
  private func notServed(_ context: ServerContext) -> BulkheadError {
    BulkheadError(.unimplemented, "\(context.descriptor.method) is not supported by this version of Bulkhead")
  }

  public func updateContainerResources(
    request: Runtime_V1_UpdateContainerResourcesRequest, context: ServerContext
  ) async throws -> Runtime_V1_UpdateContainerResourcesResponse { throw notServed(context) }

  public func exec(
    request: Runtime_V1_ExecRequest, context: ServerContext
  ) async throws -> Runtime_V1_ExecResponse { throw notServed(context) }

  public func attach(
    request: Runtime_V1_AttachRequest, context: ServerContext
  ) async throws -> Runtime_V1_AttachResponse { throw notServed(context) }

  public func portForward(
    request: Runtime_V1_PortForwardRequest, context: ServerContext
  ) async throws -> Runtime_V1_PortForwardResponse { throw notServed(context) }

  public func containerStats(
    request: Runtime_V1_ContainerStatsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ContainerStatsResponse { throw notServed(context) }

  public func listContainerStats(
    request: Runtime_V1_ListContainerStatsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListContainerStatsResponse { throw notServed(context) }

  public func streamContainerStats(
    request: Runtime_V1_StreamContainerStatsRequest, response: RPCWriter<Runtime_V1_StreamContainerStatsResponse>,
    context: ServerContext
  ) async throws { throw notServed(context) }

  public func podSandboxStats(
    request: Runtime_V1_PodSandboxStatsRequest, context: ServerContext
  ) async throws -> Runtime_V1_PodSandboxStatsResponse { throw notServed(context) }

  public func listPodSandboxStats(
    request: Runtime_V1_ListPodSandboxStatsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListPodSandboxStatsResponse { throw notServed(context) }

  public func streamPodSandboxStats(
    request: Runtime_V1_StreamPodSandboxStatsRequest, response: RPCWriter<Runtime_V1_StreamPodSandboxStatsResponse>,
    context: ServerContext
  ) async throws { throw notServed(context) }

  public func updateRuntimeConfig(
    request: Runtime_V1_UpdateRuntimeConfigRequest, context: ServerContext
  ) async throws -> Runtime_V1_UpdateRuntimeConfigResponse { throw notServed(context) }

  public func checkpointContainer(
    request: Runtime_V1_CheckpointContainerRequest, context: ServerContext
  ) async throws -> Runtime_V1_CheckpointContainerResponse { throw notServed(context) }

  public func checkpointPod(
    request: Runtime_V1_CheckpointPodRequest, context: ServerContext
  ) async throws -> Runtime_V1_CheckpointPodResponse { throw notServed(context) }

  public func restorePod(
    request: Runtime_V1_RestorePodRequest, context: ServerContext
  ) async throws -> Runtime_V1_RestorePodResponse { throw notServed(context) }

  public func getContainerEvents(
    request: Runtime_V1_GetEventsRequest, response: RPCWriter<Runtime_V1_ContainerEventResponse>, context: ServerContext
  ) async throws { throw notServed(context) }

  public func listMetricDescriptors(
    request: Runtime_V1_ListMetricDescriptorsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListMetricDescriptorsResponse { throw notServed(context) }

  public func listPodSandboxMetrics(
    request: Runtime_V1_ListPodSandboxMetricsRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListPodSandboxMetricsResponse { throw notServed(context) }

  public func streamPodSandboxMetrics(
    request: Runtime_V1_StreamPodSandboxMetricsRequest, response: RPCWriter<Runtime_V1_StreamPodSandboxMetricsResponse>,
    context: ServerContext
  ) async throws { throw notServed(context) }

  public func updatePodSandboxResources(
    request: Runtime_V1_UpdatePodSandboxResourcesRequest, context: ServerContext
  ) async throws -> Runtime_V1_UpdatePodSandboxResourcesResponse { throw notServed(context) }
}
