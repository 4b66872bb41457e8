import CRI
import Common
import GRPCCore

/// The calls that this version does not serve. Each answers UNIMPLEMENTED and says so.
extension RuntimeService {
  private func notServed(_ context: ServerContext) -> BulkheadError {
    BulkheadError(.unimplemented, "\(context.descriptor.method) is not supported by this version of Bulkhead")
  }

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
}
