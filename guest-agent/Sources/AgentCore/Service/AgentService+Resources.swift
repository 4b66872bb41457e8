import AgentProtocol
import GRPCCore
import LinuxSystem

/// New limits.
extension AgentService {
  func updateContainer(
    request: Bulkhead_Agent_V1_UpdateContainerRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_UpdateContainerResponse {
    try await doing("update the container") {
      try await onDedicatedThread { try pod.updateContainer(request) }
      return Bulkhead_Agent_V1_UpdateContainerResponse()
    }
  }

  func updateSandbox(
    request: Bulkhead_Agent_V1_UpdateSandboxRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_UpdateSandboxResponse {
    try await doing("update the sandbox") {
      try await onDedicatedThread { try pod.updateSandbox(request) }
      return Bulkhead_Agent_V1_UpdateSandboxResponse()
    }
  }
}
