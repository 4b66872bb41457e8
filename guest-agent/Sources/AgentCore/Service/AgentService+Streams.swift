import AgentProtocol
import FoundationEssentials
import GRPCCore
import Glibc
import LinuxSystem

extension AgentService {
  func readOutput(
    request: Bulkhead_Agent_V1_ReadOutputRequest, response: RPCWriter<Bulkhead_Agent_V1_OutputChunk>,
    context: ServerContext
  ) async throws {
    let output = try pod.container(request.containerID).output
    output.acknowledge(.stdout, below: request.stdoutOffset)
    output.acknowledge(.stderr, below: request.stderrOffset)
    var position = ProcessOutput.Position(stdout: request.stdoutOffset, stderr: request.stderrOffset)
    output.attach(&position)
    while !position.isDone {
      try Task.checkCancellation()
      for chunk in try await output.next(&position) {
        var message = Bulkhead_Agent_V1_OutputChunk()
        message.stream = chunk.stream == .stdout ? .stdout : .stderr
        message.offset = chunk.offset
        message.data = Data(chunk.bytes)
        message.end = chunk.bytes.isEmpty
        try await response.write(message)
      }
    }
  }

  func acknowledgeOutput(
    request: Bulkhead_Agent_V1_AcknowledgeOutputRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_AcknowledgeOutputResponse {
    let output = try pod.container(request.containerID).output
    output.acknowledge(.stdout, below: request.stdoutOffset)
    output.acknowledge(.stderr, below: request.stderrOffset)
    return Bulkhead_Agent_V1_AcknowledgeOutputResponse()
  }

  func writeInput(
    request: Bulkhead_Agent_V1_WriteInputRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_WriteInputResponse {
    let container = try pod.container(request.containerID)
    guard let input = container.input else {
      throw RPCError(code: .failedPrecondition, message: "container \(container.id) has no standard input")
    }
    do {
      try await input.write([UInt8](request.data))
    } catch let error as SystemError {
      throw RPCError(code: .failedPrecondition, message: "nobody reads the container's standard input: \(error)")
    }
    if request.end { input.close() }
    return Bulkhead_Agent_V1_WriteInputResponse()
  }
}
