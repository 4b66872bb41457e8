import AgentProtocol
import Common
import FoundationEssentials
import GRPCCore
import Images

/// A process in the guest itself: a privileged container that nobody lists, in the guest's own PID and IPC
/// namespaces, with the guest's root at /guest. The boot image has no programs, so they come from an image of
/// the operator's choice. It lasts as long as its client; what a daemon that was killed left is removed by the
/// next one (`Pod.discardUnknown`).
struct DebugSession<Client: ProcessClient>: Sendable {
  let id: ContainerID
  let imageSerial: String
  let image: [Data]
  let command: [String]
  let terminal: Bool
  let client: Client
  let agent: AgentConnection

  /// The exit code.
  func run() async throws -> UInt8 {
    _ = try await agent.call("make the debugging process", request, deadline: .seconds(60)) {
      try await $0.createContainer(request: $1, options: $2)
    }
    do {
      let code = try await live()
      try await uncancelled(remove)
      return code
    } catch {
      // The first error is the one that counts; what can't be removed is gone with the VM.
      try? await uncancelled(remove)
      throw error
    }
  }

  private func live() async throws -> UInt8 {
    let audience = OutputAudience()
    let listener = audience.join([.stdout, .stderr])
    let start = Bulkhead_Agent_V1_StartContainerRequest.with { $0.containerID = id.text }
    _ = try await agent.call("start the debugging process", start, deadline: .seconds(60)) {
      try await $0.startContainer(request: $1, options: $2)
    }
    let session = AttachSession(
      container: id, hasInput: client.input != nil, streams: [.stdin, .stdout, .stderr], listener: listener,
      client: client, agent: agent)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { audience.end() }
        try await OutputPump(containerID: id, agent: agent, log: nil, audience: audience).run()
      }
      try await session.run()
      try await group.waitForAll()
    }
    let wait = Bulkhead_Agent_V1_WaitContainerRequest.with { $0.containerID = id.text }
    let exit = try await agent.call("wait for the debugging process", wait) {
      try await $0.waitContainer(request: $1, options: $2)
    }
    return UInt8(clamping: exit.exit.code)
  }

  private func remove() async throws {
    let request = Bulkhead_Agent_V1_RemoveContainerRequest.with { $0.containerID = id.text }
    _ = try await agent.call("remove the debugging process", request) {
      try await $0.removeContainer(request: $1, options: $2)
    }
  }

  private var request: Bulkhead_Agent_V1_CreateContainerRequest {
    .with {
      $0.containerID = id.text
      $0.imageSerial = imageSerial
      $0.spec = .with {
        $0.stdin = client.input != nil
        $0.stdinOnce = true
        $0.process = process
        $0.mounts = DefaultSpec.mounts(privileged: true) + [guestRoot]
        $0.linux.privileged = true
        $0.linux.namespaces.pid = .node
        $0.linux.namespaces.ipcNode = true
      }
    }
  }

  private var process: Bulkhead_Agent_V1_Process {
    .with {
      $0.terminal = terminal
      $0.args = (command.isEmpty ? ["/bin/sh"] : command).map { Data($0.utf8) }
      $0.env = [Data("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".utf8)] + image
      $0.cwd = Data("/".utf8)
      $0.user.uid = 0
      $0.user.gid = 0
      for set in [\Bulkhead_Agent_V1_Capabilities.bounding, \.effective, \.permitted] {
        $0.capabilities[keyPath: set] = DefaultSpec.allCapabilities
      }
    }
  }

  private var guestRoot: Bulkhead_Agent_V1_Mount {
    .with {
      $0.destination = Data("/guest".utf8)
      $0.type = "bind"
      $0.source = Data("/".utf8)
      $0.options = ["rbind", "rslave"]
    }
  }
}

extension Pod {
  func debug(
    image: ImageRecord, command: [String], terminal: Bool, client: some ProcessClient
  ) async throws -> UInt8 {
    let running = try running()
    let disk = try imageDisk(image.id, on: running.machine)
    try await disk.plugging.value
    return try await DebugSession(
      id: .random(), imageSerial: disk.serial, image: image.config.env.map { Data($0) }, command: command,
      terminal: terminal, client: client, agent: running.agent
    ).run()
  }
}

extension PodManager {
  /// Runs a command from an image on this node in the guest itself, joined to `client`; an empty one is a
  /// shell. Returns its exit code.
  public func debug(
    pod prefix: String, image name: String, command: [String], terminal: Bool, client: some ProcessClient
  ) async throws -> UInt8 {
    let id = try status(pod: prefix).id
    guard let image = services.images.image(name) else {
      throw BulkheadError(
        .notFound, "image \(printable(name)) is not on this node: pull it first (`bulkheadctl image pull`)")
    }
    return try await pod(id).debug(image: image, command: command, terminal: terminal, client: client)
  }
}
