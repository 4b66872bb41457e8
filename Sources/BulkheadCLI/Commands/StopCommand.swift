import ArgumentParser
import CRI

struct StopCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "stop", abstract: "Stops pods: their containers end, their VMs are powered off.",
    discussion: "A kubelet that still wants such a pod starts it again.")

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The pods.")
  var pods: [String]

  func run(in context: CommandContext) async throws {
    let (pods, output) = (pods, context.output)
    try await Connection(global, context).withDaemon { daemon in
      for name in pods {
        let id = try await daemon.pod(name).id
        _ = try await daemon.runtime.stopPodSandbox(.with { $0.podSandboxID = id }, options: daemon.quick)
        try output.write("\(id)\n")
      }
    }
  }
}

struct RemoveCommand: DaemonCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm", abstract: "Removes pods with their containers.",
    discussion: "A kubelet that still wants such a pod starts it again.")

  @OptionGroup var global: GlobalOptions
  @Argument(help: "The pods.")
  var pods: [String]
  @Flag(name: .shortAndLong, help: "Pods that are ready, too: they are stopped first.")
  var force = false

  func run(in context: CommandContext) async throws {
    let (pods, force, output) = (pods, force, context.output)
    try await Connection(global, context).withDaemon { daemon in
      for name in pods {
        let pod = try await daemon.pod(name)
        guard force || pod.state != .sandboxReady else {
          throw CommandFailure(
            "pod \(pod.metadata.namespace)/\(pod.metadata.name) is ready: stop it first, or use --force")
        }
        try await daemon.remove(pod: pod.id)
        try output.write("\(pod.id)\n")
      }
    }
  }
}

extension Daemon {
  /// Stops the pod and removes it. Succeeds if it has gone.
  func remove(pod id: String) async throws {
    _ = try await runtime.stopPodSandbox(.with { $0.podSandboxID = id }, options: quick)
    _ = try await runtime.removePodSandbox(.with { $0.podSandboxID = id }, options: quick)
  }
}
