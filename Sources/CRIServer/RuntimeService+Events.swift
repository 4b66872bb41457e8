import CRI
import GRPCCore
import Pods

extension RuntimeService {
  public func getContainerEvents(
    request: Runtime_V1_GetEventsRequest, response: RPCWriter<Runtime_V1_ContainerEventResponse>, context: ServerContext
  ) async throws {
    try await pods.subscribe().forEach { try await response.write(.init($0)) }
  }
}

extension Runtime_V1_ContainerEventResponse {
  init(_ event: PodEvent) {
    self.init()
    containerID = event.subject
    containerEventType =
      switch event.kind {
      case .created: .containerCreatedEvent
      case .started: .containerStartedEvent
      case .stopped: .containerStoppedEvent
      case .deleted: .containerDeletedEvent
      }
    createdAt = event.time
    podSandboxStatus = .init(event.pod)
    containersStatuses = event.containers.map(Runtime_V1_ContainerStatus.init)
  }
}
