import CGuest
import ContainerInit
import GRPCCore
import GRPCNGHTTP2
import Glibc
import LinuxSystem

/// Where the agent listens, and where its disks come from.
public struct AgentConfiguration: Sendable {
  public var listener: Listener
  /// For streams that are no calls.
  public var streams: StreamAddress
  public var disks: any DiskSource
  /// Nil: the one that the hypervisor gave the VM.
  public var secret: [UInt8]?

  /// A VM's.
  public init() {
    listener = .vsock(port: 1024, acceptedCIDs: [2])
    streams = .vsock(port: 1025)
    disks = SCSIDisks()
  }
}

/// Runs the agent as the first process of its PID namespace, on the main thread, which becomes the one that
/// waits for pipes and children. Never returns: its end is the pod's end.
///
/// The main thread must not be left to Dispatch: it sleeps with all signals open, and SIGCHLD, meant for a
/// descriptor, would be delivered to it and lost.
///
/// What comes before serving is on every pod's way to Ready, so only what serving needs is done before;
/// containers wait for the rest.
public func runAgent(_ configuration: AgentConfiguration) -> Never {
  takeSignals()
  Boot.mountFilesystems()
  let secret = configuration.secret ?? VMSecret.read()
  while true {
    do {
      let reaper = Reaper()
      let reactor = try Reactor()
      let processes = ProcessFactory(reactor: reactor, reaper: reaper)
      let pod = Pod(processes: processes, disks: configuration.disks, booted: Signal())
      try watchChildren(reactor, reaper)
      let output = OutputStreams()
      Task { await serve(pod, output, on: configuration.listener, secret: secret) }
      let streams = HostStreams(
        address: configuration.streams, secret: secret, reactor: reactor, output: output, pod: pod)
      Task { await prepare(pod, streams) }
      reactor.run()
    } catch {
      log("can't start: \(error)")
      sleep(1)
    }
  }
}

/// Serves, again should the listener ever fail.
private func serve(_ pod: Pod, _ output: OutputStreams, on listener: Listener, secret: [UInt8]) async {
  while true {
    do {
      let server = GRPCServer(
        transport: try NGHTTP2ServerTransport(listeners: [listener]),
        services: [AgentService(pod: pod, output: output, bootMicroseconds: bootMicroseconds())],
        interceptors: [SecretInterceptor(secret: secret)])
      try await server.serve()
    } catch {
      log("can't serve: \(error)")
    }
    try? await Task.sleep(for: .milliseconds(500))
  }
}

private func prepare(_ pod: Pod, _ streams: HostStreams) async {
  try? await onDedicatedThread {
    Boot.prepareForContainers()
    Boot.attempt { try pod.processes.zygote.start() }
    VMSecret.hide()
  }
  _ = try? await pod.namespace.first()
  pod.booted.fire()
  await take(streams)
}

/// Takes streams, again should the listener ever fail.
private func take(_ streams: HostStreams) async {
  while true {
    do { try await streams.run() } catch { log("can't take streams: \(error)") }
    try? await Task.sleep(for: .milliseconds(500))
  }
}

private func watchChildren(_ reactor: Reactor, _ reaper: Reaper) throws {
  let signals = try systemCall("signalfd") { guest_child_signals() }
  try reactor.add(signals) {
    guest_clear_child_signals(signals)
    reaper.reap()
    reactor.arm(signals, .read)
  }
  reactor.arm(signals, .read)
}

/// Before there are threads, which inherit it: the signals that the agent takes by descriptor or not at all.
private func takeSignals() {
  var mask = sigset_t()
  sigemptyset(&mask)
  sigaddset(&mask, SIGCHLD)
  sigprocmask(SIG_BLOCK, &mask, nil)
  signal(SIGPIPE, SIG_IGN)
}
