import AgentProtocol
import Common
import FoundationEssentials
import GRPCCore
import Glibc
import LinuxSystem

/// The agent's gRPC service: requests in, `Pod` does it, answers out.
struct AgentService: Bulkhead_Agent_V1_Agent.SimpleServiceProtocol {
  let pod: Pod
  let output: OutputStreams
  /// CLOCK_BOOTTIME when serving began.
  let bootMicroseconds: UInt64

  func health(
    request: Bulkhead_Agent_V1_HealthRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_HealthResponse {
    var response = Bulkhead_Agent_V1_HealthResponse()
    response.agentVersion = bulkheadVersion
    response.kernelRelease = kernelRelease()
    response.bootMicroseconds = bootMicroseconds
    return response
  }

  func createSandbox(
    request: Bulkhead_Agent_V1_CreateSandboxRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_CreateSandboxResponse {
    let plan = try SandboxPlan(request)
    return try await doing("create the sandbox") {
      try await pod.createSandbox(plan)
      return Bulkhead_Agent_V1_CreateSandboxResponse()
    }
  }

  func stopSandbox(
    request: Bulkhead_Agent_V1_StopSandboxRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_StopSandboxResponse {
    try await doing("stop the sandbox") {
      try await pod.stopSandbox()
      return Bulkhead_Agent_V1_StopSandboxResponse()
    }
  }

  func createContainer(
    request: Bulkhead_Agent_V1_CreateContainerRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_CreateContainerResponse {
    try await doing("create the container") {
      let identity = try await pod.createContainer(request).birth.identity
      var response = Bulkhead_Agent_V1_CreateContainerResponse()
      response.uid = identity.uid
      response.gid = identity.gid
      response.supplementalGroups = identity.groups
      return response
    }
  }

  func startContainer(
    request: Bulkhead_Agent_V1_StartContainerRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_StartContainerResponse {
    let container = try pod.container(request.containerID)
    return try await doing("start the container") {
      try await onDedicatedThread { try container.start() }
      var response = Bulkhead_Agent_V1_StartContainerResponse()
      response.pid = UInt32(clamping: container.birth.pid)
      response.startedNanoseconds = container.started
      return response
    }
  }

  func signalContainer(
    request: Bulkhead_Agent_V1_SignalContainerRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_SignalContainerResponse {
    if let container = pod.present(request.containerID) {
      try await doing("signal the container") {
        try await onDedicatedThread { try container.signal(request.signal, all: request.all) }
      }
    }
    return Bulkhead_Agent_V1_SignalContainerResponse()
  }

  func waitContainer(
    request: Bulkhead_Agent_V1_WaitContainerRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_WaitContainerResponse {
    let exit = try await pod.container(request.containerID).wait()
    var response = Bulkhead_Agent_V1_WaitContainerResponse()
    response.exit = message(exit)
    return response
  }

  func removeContainer(
    request: Bulkhead_Agent_V1_RemoveContainerRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_RemoveContainerResponse {
    try await doing("remove the container") {
      try await pod.removeContainer(request.containerID)
      return Bulkhead_Agent_V1_RemoveContainerResponse()
    }
  }

  func listContainers(
    request: Bulkhead_Agent_V1_ListContainersRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_ListContainersResponse {
    var response = Bulkhead_Agent_V1_ListContainersResponse()
    response.containers = pod.allContainers().map(summary)
    return response
  }

  func guestInfo(
    request: Bulkhead_Agent_V1_GuestInfoRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_GuestInfoResponse {
    try await doing("read the guest's state") { try await onDedicatedThread { try guestInfoNow() } }
  }

  private func summary(_ container: Container) -> Bulkhead_Agent_V1_ContainerSummary {
    var summary = Bulkhead_Agent_V1_ContainerSummary()
    summary.containerID = container.id
    summary.pid = UInt32(clamping: container.birth.pid)
    summary.startedNanoseconds = container.started
    switch container.state {
    case .created: summary.state = .created
    case .starting, .running, .ending: summary.state = .running
    case .exited(let exit):
      summary.state = .exited
      summary.exit = message(exit)
    }
    return summary
  }

  private func message(_ exit: Container.Exit) -> Bulkhead_Agent_V1_ContainerExit {
    var message = Bulkhead_Agent_V1_ContainerExit()
    message.code = exit.code
    message.oomKilled = exit.oomKilled
    message.finishedNanoseconds = exit.finished
    message.startError = exit.startError
    return message
  }
}

/// Gives errors of the system the form in which the daemon gets them.
func doing<Result>(_ what: String, _ body: () async throws -> Result) async throws -> Result {
  do {
    return try await body()
  } catch let error as RPCError {
    throw error
  } catch let failure as Birth.Failure {
    throw RPCError(code: .failedPrecondition, message: failure.text)
  } catch let error as SystemError where error.number == ENOSPC || error.number == EDQUOT {
    throw RPCError(code: .resourceExhausted, message: "can't \(what): \(error)")
  } catch is CancellationError {
    throw RPCError(code: .cancelled, message: "can't \(what): the call was cancelled")
  } catch {
    throw RPCError(code: .internalError, message: "can't \(what): \(error)")
  }
}
