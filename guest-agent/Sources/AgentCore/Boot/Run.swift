import CGuest
import ContainerInit
import GRPCCore
import GRPCNGHTTP2
import Glibc
import LinuxSystem

/// Where the agent listens, and where its disks come from.
public struct AgentConfiguration: Sendable {
  public var listener: Listener
  public var disks: any DiskSource
  /// Nil: the one that the hypervisor gave the VM.
  public var secret: [UInt8]?

  /// A VM's.
  public init() {
    listener = .vsock(port: 1024, acceptedCIDs: [2])
    disks = SCSIDisks()
  }
}

/// Runs the agent as the first process of its PID namespace. Never returns: its end is the pod's end.
///
/// What comes before serving is on every pod's way to Ready, so only what serving needs is done before;
/// containers wait for the rest.
public func runAgent(_ configuration: AgentConfiguration) async -> Never {
  Boot.mountFilesystems()
  let secret = configuration.secret ?? VMSecret.read()
  let booted = Signal()
  while true {
    do {
      let transport = try NGHTTP2ServerTransport(listeners: [configuration.listener])
      let reaper = Reaper()
      let reactor = try startReactor(reaper)
      let pod = Pod(
        processes: ProcessFactory(reactor: reactor, reaper: reaper), disks: configuration.disks, booted: booted)
      Task { await prepare(pod) }
      let server = GRPCServer(
        transport: transport, services: [AgentService(pod: pod, bootMicroseconds: bootMicroseconds())],
        interceptors: [SecretInterceptor(secret: secret)])
      try await server.serve()
    } catch {
      log("can't serve: \(error)")
    }
    try? await Task.sleep(for: .milliseconds(500))
  }
}

private func prepare(_ pod: Pod) async {
  try? await onDedicatedThread {
    Boot.prepareForContainers()
    Boot.attempt { try pod.processes.zygote.start() }
    VMSecret.hide()
  }
  _ = try? await pod.namespace.first()
  pod.booted.fire()
}

/// The thread that waits for pipes and for children.
private func startReactor(_ reaper: Reaper) throws -> Reactor {
  let reactor = try Reactor()
  let signals = try systemCall("signalfd") { guest_child_signals() }
  try reactor.add(signals) {
    guest_clear_child_signals(signals)
    reaper.reap()
    reactor.arm(signals, .read)
  }
  reactor.arm(signals, .read)
  Task { try await onDedicatedThread { reactor.run() } }
  return reactor
}

/// To be called first, before there are threads: the signals that the agent takes by descriptor or not at all.
public func takeSignals() {
  var mask = sigset_t()
  sigemptyset(&mask)
  sigaddset(&mask, SIGCHLD)
  sigprocmask(SIG_BLOCK, &mask, nil)
  signal(SIGPIPE, SIG_IGN)
}
