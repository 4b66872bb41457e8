import CRI
import Common
import ContainerLog
import Foundation
import GRPCCore

/// What `run` runs.
struct RunPlan: Sendable {
  let image: String
  let command: [String]
  let environment: [EnvironmentVariable]
  let workingDirectory: String
  let resources: Runtime_V1_LinuxContainerResources?
}

/// One `run`: a pod of its own with one container, and a directory for its log, all marked with the
/// session's name, so that they can be found and removed whatever happened to the calls that made them.
struct RunSession: Sendable {
  let plan: RunPlan
  let context: CommandContext
  let name: String
  private let directory: String

  private static let label = "bulkhead.io/run"
  private static let containerName = "main"
  /// Stopping and removing, together; then the user gets the prompt back.
  private static let cleanUpLimit = Duration.seconds(60)

  init(plan: RunPlan, context: CommandContext) {
    self.plan = plan
    self.context = context
    name = "run-\(PodID.random().text.prefix(10))"
    directory = NSTemporaryDirectory() + "bulkheadctl-\(name)"
  }

  // MARK: - Running

  /// Pulls the image if it is not there. Returns its id.
  func prepare(_ daemon: Daemon) async throws -> String {
    if let image = try await daemon.image(plan.image) { return image.id }
    return try await daemon.pull(.with { $0.image = plan.image }, PullDisplay(context))
  }

  /// Runs the container to its end with its output printed; returns its exit code.
  func run(_ daemon: Daemon, image: String) async throws -> Int32 {
    try makeDirectory()
    let runPod = Runtime_V1_RunPodSandboxRequest.with { $0.config = podConfiguration }
    let pod = try await daemon.runtime.runPodSandbox(runPod, options: daemon.patient).podSandboxID
    let create = Runtime_V1_CreateContainerRequest.with {
      $0.podSandboxID = pod
      $0.config = containerConfiguration(image)
      $0.sandboxConfig = podConfiguration
    }
    let container = try await daemon.runtime.createContainer(create, options: daemon.patient).containerID
    do {
      _ = try await daemon.runtime.startContainer(.with { $0.containerID = container }, options: daemon.patient)
    } catch let error as RPCError where error.code != .cancelled {
      return try await failedStart(daemon, container, error)
    }
    var reader = try ContainerLogReader(path: "\(directory)/main.log")
    let status = try await LogPrinter(output: context.output).follow(&reader, daemon, container: container)
    return explained(status)
  }

  /// A program that could not be started has an exit code too (128), and the call's error says why.
  private func failedStart(_ daemon: Daemon, _ container: String, _ error: RPCError) async throws -> Int32 {
    let status = try await daemon.status(container: container)
    guard status.state == .containerExited, status.exitCode != 0 else { throw error }
    context.complain(printable(error.message, limit: 4096))
    return status.exitCode & 0xff
  }

  private func explained(_ status: Runtime_V1_ContainerStatus) -> Int32 {
    if status.reason == "OOMKilled" {
      context.complain("the container was killed: it was out of memory")
    } else if status.exitCode != 0, !status.message.isEmpty {
      context.complain(printable(status.message, limit: 4096))
    }
    return status.exitCode & 0xff
  }

  private func makeDirectory() throws {
    do {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    } catch {
      throw CommandFailure("can't make a directory for the log, \(directory): \(error.localizedDescription)")
    }
  }

  // MARK: - Removing

  /// Removes all that this session made. Tells what it could not remove; throws nothing, since the
  /// run's own end is what the user waits for.
  func cleanUp(_ connection: Connection) async {
    do {
      try await connection.withDaemon { daemon in
        let mine = Runtime_V1_ListPodSandboxRequest.with { $0.filter.labelSelector = [Self.label: name] }
        var options = daemon.quick
        options.timeout = Self.cleanUpLimit
        for pod in try await daemon.runtime.listPodSandbox(mine, options: options).items {
          try await daemon.remove(pod: pod.id)
        }
      }
    } catch let failure as CommandFailure {
      context.complain("pod bulkheadctl/\(name) may be left: \(failure.message)")
    } catch {
      context.complain("pod bulkheadctl/\(name) may be left: \(error)")
    }
    try? FileManager.default.removeItem(atPath: directory)
  }

  // MARK: - Configuration

  private var podConfiguration: Runtime_V1_PodSandboxConfig {
    .with {
      $0.metadata.name = name
      $0.metadata.namespace = "bulkheadctl"
      $0.metadata.uid = name
      $0.hostname = name
      $0.logDirectory = directory
      $0.labels = [Self.label: name]
      $0.linux.securityContext.namespaceOptions.pid = .container
      if let resources = plan.resources { $0.linux.resources = resources }
    }
  }

  private func containerConfiguration(_ image: String) -> Runtime_V1_ContainerConfig {
    .with {
      $0.metadata.name = Self.containerName
      $0.image.image = image
      $0.image.userSpecifiedImage = plan.image
      $0.command = plan.command
      $0.workingDir = plan.workingDirectory
      $0.envs = plan.environment.map { variable in
        .with {
          $0.key = variable.name
          $0.value = Data(variable.value.utf8)
        }
      }
      $0.labels = [Self.label: name]
      $0.logPath = "\(Self.containerName).log"
      $0.linux.securityContext.namespaceOptions.pid = .container
      $0.linux.securityContext.seccomp.profileType = .runtimeDefault
      $0.linux.securityContext.maskedPaths = KubeletDefaults.maskedPaths
      $0.linux.securityContext.readonlyPaths = KubeletDefaults.readonlyPaths
      if let resources = plan.resources { $0.linux.resources = resources }
    }
  }
}
