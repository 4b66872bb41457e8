import AgentProtocol
import GRPCCore
import LinuxSystem

/// Limits and what is used of them.
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

  func stats(
    request: Bulkhead_Agent_V1_StatsRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_StatsResponse {
    try await doing("read the stats") { try await onDedicatedThread { pod.stats() } }
  }
}
