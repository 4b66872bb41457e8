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
    request: RPCAsyncSequence<Bulkhead_Agent_V1_WriteInputRequest, any Error>, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_WriteInputResponse {
    var requests = request.makeAsyncIterator()
    guard let first = try await requests.next() else { throw invalid("the first message has to name the container") }
    let container = try pod.container(first.containerID)
    guard let input = container.input else {
      throw RPCError(code: .failedPrecondition, message: "container \(container.id) has no standard input")
    }
    let result: Result<Void, any Error>
    do {
      try await input.write(first.data)
      while let next = try await requests.next() { try await input.write(next.data) }
      result = .success(())
    } catch let error as SystemError {
      result = .failure(
        RPCError(code: .failedPrecondition, message: "nobody reads the container's standard input: \(error)"))
    } catch {
      result = .failure(error)
    }
    // A task of its own, as this one may be cancelled.
    if container.isInputOnce { await Task { await input.end() }.value }
    try result.get()
    return Bulkhead_Agent_V1_WriteInputResponse()
  }

  func resizeTerminal(
    request: Bulkhead_Agent_V1_ResizeTerminalRequest, context: ServerContext
  ) async throws -> Bulkhead_Agent_V1_ResizeTerminalResponse {
    let container = try pod.container(request.containerID)
    guard let terminal = container.terminal else {
      throw RPCError(code: .failedPrecondition, message: "container \(container.id) has no terminal")
    }
    terminal.resize(columns: request.size.width, rows: request.size.height)
    return Bulkhead_Agent_V1_ResizeTerminalResponse()
  }
}
