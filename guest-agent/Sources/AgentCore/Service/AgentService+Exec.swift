import AgentProtocol
import FoundationEssentials
import GRPCCore
import GRPCNGHTTP2
import LinuxSystem

extension AgentService {
  func exec(
    request: RPCAsyncSequence<Bulkhead_Agent_V1_ExecRequest, any Error>,
    response: RPCWriter<Bulkhead_Agent_V1_ExecResponse>, context: ServerContext
  ) async throws {
    let requests = RequestReader(request)
    guard case .start(let start)? = try await requests.nextKind() else {
      throw invalid("the first message of Exec has to be its start")
    }
    let stream = start.stdoutStream.isEmpty ? nil : output.take(Array(start.stdoutStream))
    defer { stream?.close() }
    guard start.stdoutStream.isEmpty == (stream == nil) else { throw invalid("no such stream for the output") }
    do {
      let exit = try await pod.withExec(start) { process in
        try await attend(process, requests, response, stream, timeoutMilliseconds: start.timeoutMilliseconds)
      }
      try await response.write(exit)
    } catch let failure as Birth.Failure {
      try await response.write(exited(failure.code, startError: failure.text))
    } catch let error as SystemError {
      return try await doing("start the process") { throw error }
    }
  }

  /// Carries input in and output out until the process has ended.
  private func attend(
    _ process: ExecProcess, _ requests: RequestReader<Bulkhead_Agent_V1_ExecRequest>,
    _ response: RPCWriter<Bulkhead_Agent_V1_ExecResponse>, _ stream: AsyncDescriptor?, timeoutMilliseconds: UInt64
  ) async throws -> Bulkhead_Agent_V1_ExecResponse {
    var started = Bulkhead_Agent_V1_ExecResponse()
    started.started.pid = UInt32(clamping: process.birth.pid)
    try await response.write(started)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await feed(process, requests) }
      if timeoutMilliseconds > 0 {
        group.addTask {
          try await Task.sleep(for: .milliseconds(Int64(clamping: timeoutMilliseconds)))
          process.timeOut()
        }
      }
      // The output ends with the process; what feeds it and times it is called off then.
      async let errors: Void = copy(process.output.stderr, to: response) { $0.stderr = $1 }
      if let stream {
        try await copy(process.output.stdout, to: stream)
      } else {
        try await copy(process.output.stdout, to: response) { $0.stdout = $1 }
      }
      try await errors
      _ = try await process.wait()
      group.cancelAll()
      while let result = await group.nextResult() {
        if case .failure(let error) = result, !(error is CancellationError), Task.isCancelled { throw error }
      }
    }
    try Task.checkCancellation()
    return exited(try await process.wait(), timedOut: process.hasTimedOut)
  }

  private func feed(_ process: ExecProcess, _ requests: RequestReader<Bulkhead_Agent_V1_ExecRequest>) async throws {
    while let request = try await requests.nextKind() {
      switch request {
      case .start: throw invalid("the process was started already")
      case .stdin(let data):
        // A process that doesn't read its input is no error.
        do { try await process.input?.write(data) } catch is SystemError { process.input?.close() }
      case .stdinEnd: await process.input?.end()
      case .resize(let size): process.terminal?.resize(columns: size.width, rows: size.height)
      }
    }
  }

  /// What one message carries at most. Read in one go, so that a busy stream costs few messages.
  private static let chunk = 128 << 10

  private func copy(
    _ source: AsyncDescriptor?, to response: RPCWriter<Bulkhead_Agent_V1_ExecResponse>,
    _ fill: @Sendable (inout Bulkhead_Agent_V1_ExecResponse, Data) -> Void
  ) async throws {
    while let source, let data = try await source.readData(limit: Self.chunk) {
      var message = Bulkhead_Agent_V1_ExecResponse()
      fill(&message, data)
      try await response.write(message)
    }
  }

  private func copy(_ source: AsyncDescriptor, to stream: AsyncDescriptor) async throws {
    do {
      try await stream.take(from: source, atOnce: ProcessStreams.pipeSize)
    } catch let error as SystemError {
      throw RPCError(code: .cancelled, message: "nobody reads the process's output any more", cause: error)
    }
  }

  private func exited(
    _ code: UInt32, timedOut: Bool = false, startError: String = ""
  ) -> Bulkhead_Agent_V1_ExecResponse {
    var response = Bulkhead_Agent_V1_ExecResponse()
    response.exit.code = code
    response.exit.timedOut = timedOut
    response.exit.startError = startError
    return response
  }
}

extension RequestReader<Bulkhead_Agent_V1_ExecRequest> {
  /// Nil at the end, which leaves the process' input open; a message without content is passed over.
  fileprivate func nextKind() async throws -> Bulkhead_Agent_V1_ExecRequest.OneOf_Kind? {
    while let request = try await next() {
      if let kind = request.kind { return kind }
    }
    return nil
  }
}
