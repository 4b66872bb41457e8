import AgentProtocol
import FoundationEssentials
import GRPCCore
import Testing

/// What the tests ask of an agent, in the words of a test.
extension AgentHost {
  typealias Spec = Bulkhead_Agent_V1_ContainerSpec

  static func spec(_ script: String) -> Spec {
    var spec = Spec()
    spec.process.args = ["/bin/sh", "-c", script].map { Data($0.utf8) }
    spec.process.env = [Data("PATH=/bin".utf8)]
    return spec
  }

  @discardableResult
  func create(
    _ id: String, _ spec: Spec, image: String = image
  ) async throws -> Bulkhead_Agent_V1_CreateContainerResponse {
    var request = Bulkhead_Agent_V1_CreateContainerRequest()
    request.containerID = id
    request.imageSerial = image
    request.spec = spec
    return try await client.createContainer(request, metadata: metadata)
  }

  func start(_ id: String) async throws {
    var request = Bulkhead_Agent_V1_StartContainerRequest()
    request.containerID = id
    _ = try await client.startContainer(request, metadata: metadata)
  }

  func wait(_ id: String) async throws -> Bulkhead_Agent_V1_ContainerExit {
    var request = Bulkhead_Agent_V1_WaitContainerRequest()
    request.containerID = id
    return try await client.waitContainer(request, metadata: metadata).exit
  }

  func signal(_ id: String, _ number: UInt32, all: Bool = false) async throws {
    var request = Bulkhead_Agent_V1_SignalContainerRequest()
    request.containerID = id
    request.signal = number
    request.all = all
    _ = try await client.signalContainer(request, metadata: metadata)
  }

  func remove(_ id: String) async throws {
    var request = Bulkhead_Agent_V1_RemoveContainerRequest()
    request.containerID = id
    _ = try await client.removeContainer(request, metadata: metadata)
  }

  func acknowledge(_ id: String, stdout: UInt64) async throws {
    var request = Bulkhead_Agent_V1_AcknowledgeOutputRequest()
    request.containerID = id
    request.stdoutOffset = stdout
    _ = try await client.acknowledgeOutput(request, metadata: metadata)
  }

  /// Both streams to their ends; acknowledges what it read, if it is told to.
  func output(_ id: String, from offset: UInt64 = 0, acknowledge: Bool = false) async throws -> (
    out: String, err: String
  ) {
    var request = Bulkhead_Agent_V1_ReadOutputRequest()
    request.containerID = id
    request.stdoutOffset = offset
    return try await client.readOutput(request, metadata: metadata) { response in
      var bytes: [[UInt8]] = [[], []]
      for try await chunk in response.messages {
        bytes[chunk.stream.rawValue] += [UInt8](chunk.data)
        if acknowledge, chunk.stream == .stdout {
          try await self.acknowledge(id, stdout: chunk.offset + UInt64(chunk.data.count))
        }
      }
      return (String(decoding: bytes[0], as: UTF8.self), String(decoding: bytes[1], as: UTF8.self))
    }
  }

  /// Creates, starts and awaits a container; what it wrote, both streams one after the other, and its exit.
  func run(_ id: String, _ spec: Spec) async throws -> (text: String, exit: Bulkhead_Agent_V1_ContainerExit) {
    try await create(id, spec)
    try await start(id)
    let exit = try await wait(id)
    let (out, err) = try await output(id)
    return (out + err, exit)
  }

  struct ExecResult {
    var out = ""
    var err = ""
    var exit = Bulkhead_Agent_V1_ExecExit()
  }

  func exec(
    _ id: String, _ args: [String], input: String? = nil, terminal: Bool = false, timeoutMilliseconds: UInt64 = 0,
    stdoutStream: [UInt8] = []
  ) async throws -> ExecResult {
    var start = Bulkhead_Agent_V1_ExecStart()
    start.containerID = id
    start.args = args.map { Data($0.utf8) }
    start.stdin = input != nil
    start.terminal = terminal
    start.timeoutMilliseconds = timeoutMilliseconds
    start.stdoutStream = Data(stdoutStream)
    let messages: [Bulkhead_Agent_V1_ExecRequest.OneOf_Kind] =
      [.start(start)] + (input.map { [.stdin(Data($0.utf8)), .stdinEnd(true)] } ?? [])
    return try await client.exec(metadata: metadata) { writer in
      for kind in messages {
        var message = Bulkhead_Agent_V1_ExecRequest()
        message.kind = kind
        try await writer.write(message)
      }
    } onResponse: { response in
      var result = ExecResult()
      for try await message in response.messages {
        switch message.kind {
        case .stdout(let data): result.out += String(decoding: data, as: UTF8.self)
        case .stderr(let data): result.err += String(decoding: data, as: UTF8.self)
        case .exit(let exit): result.exit = exit
        case .started, nil: break
        }
      }
      return result
    }
  }

  /// The command lines of all processes that a container sees, but for the one that looks.
  func processes(_ id: String) async throws -> String {
    try await exec(id, ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).out
  }

  /// How many descriptors the agent has, counted by a container that sees it.
  func openDescriptors() async throws -> Int {
    // By the shell, since ls looks at each of them, and complains of one that was closed meanwhile.
    var spec = Self.spec("set -- /proc/1/fd/*; echo $#")
    spec.linux.namespaces.pid = .node
    spec.process.capabilities.effective = ["CAP_SYS_PTRACE"]
    spec.process.capabilities.permitted = ["CAP_SYS_PTRACE"]
    spec.process.capabilities.bounding = ["CAP_SYS_PTRACE"]
    let text = try await run("counter", spec).text
    try await remove("counter")
    return try #require(Int(text.dropLast()))
  }
}
