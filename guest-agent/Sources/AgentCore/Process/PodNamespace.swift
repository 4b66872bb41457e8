import CGuest
import ContainerInit
import Glibc
import LinuxSystem

/// The PID namespace that the pod's containers share by default. Its first process does nothing but reap; it
/// is made at boot, and again should someone in the guest's own namespace kill it.
actor PodNamespace {
  private let processes: ProcessFactory
  private var making: Task<Birth, any Error>?

  init(_ processes: ProcessFactory) { self.processes = processes }

  /// The first process; its pidfd is the way into the namespace.
  func first() async throws -> Birth {
    if let making, let birth = try? await making.value, guest_pidfd_alive(birth.pidfd) == 1 { return birth }
    let task = Task { [processes] in
      try await onDedicatedThread {
        var request = ForkRequest()
        request.kind = .pause
        request.newPIDNamespace = true
        let streams = try ProcessStreams(stdin: false, terminal: true)
        let cgroup = try Boot.pause.openDirectory()
        return try processes.make(request, job: [], streams: streams, cgroup: cgroup, target: nil, gate: false)
      }
    }
    making = task
    return try await task.value
  }
}

/// All that is needed to make a process of a container. Its calls block.
final class ProcessFactory: Sendable {
  let zygote = ZygoteClient()
  let reactor: Reactor
  let reaper: Reaper

  init(reactor: Reactor, reaper: Reaper) {
    self.reactor = reactor
    self.reaper = reaper
  }

  /// Throws `Birth.Failure` when the helper could not do what was asked.
  func make(
    _ request: ForkRequest, job: [UInt8], streams: ProcessStreams, cgroup: borrowing Descriptor, target: Int32?,
    gate: Bool
  ) throws -> Birth {
    reaper.birthBegins()
    defer { reaper.birthEnds() }
    let socket = try zygote.request(
      request, job: job, streams: streams.child, cgroup: cgroup.number, target: target)
    return try Birth(socket, gate: gate, reaper: reaper)
  }
}
