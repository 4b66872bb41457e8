import CGuest
import CLinux
import Glibc
import LinuxSystem

/// The agent's helper: one single-threaded process, started once, that forks whatever becomes a container's
/// process. The agent itself can't: it has threads, and a fork of it could take no lock. And starting a
/// program of the agent's size for each container would cost most of a container's start.
///
/// Children are the agent's, not the zygote's (CLONE_PARENT), so it never waits for anyone. It keeps nothing
/// of a request: the job is read in the child.
public func runZygote(control: Int32) -> Never {
  // Other processes of the container may not trace the child before it is the program.
  guest_not_dumpable()
  // The agent's own is -1000: the kernel never kills it. A child must not be born so, since in a cgroup whose
  // limit leaves it no memory it would neither live nor die.
  try? setOOMScoreAdjustment(-999)
  // The thread that started this process has the niceness that Dispatch gave it, -2 for instance.
  setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 0)
  let requests = MessageSocket(control)
  let ownNamespace = bh_pidfd_open(getpid())
  while true {
    do {
      guard let (request, descriptors) = try requests.receive(ForkRequest.self) else { exit(0) }
      defer { descriptors.forEach { close($0) } }
      // A malformed request has no socket to answer on; the agent reads the end of the stream.
      guard descriptors.count >= (request.joins ? 7 : 6) else { continue }
      serve(request, descriptors, control: control, ownNamespace: ownNamespace)
    } catch {
      // There is nobody to tell; the agent starts another zygote when it needs one.
      exit(1)
    }
  }
}

private func serve(_ request: ForkRequest, _ descriptors: [Int32], control: Int32, ownNamespace: Int32) {
  let socket = MessageSocket(descriptors[1])
  do {
    let (pid, pidfd) = try fork(request, descriptors, ownNamespace: ownNamespace)
    if pid == 0 {
      close(control)
      close(ownNamespace)
      runChild(request, descriptors)
    }
    defer { close(pidfd) }
    var message = HelperMessage(.forked)
    message.pid = pid
    try socket.send(message, descriptors: [pidfd])
  } catch {
    report(error, to: socket)
  }
}

private func fork(
  _ request: ForkRequest, _ descriptors: [Int32], ownNamespace: Int32
) throws -> (pid: pid_t, pidfd: Int32) {
  if request.joins {
    try step("enter the PID namespace") { try systemCall("setns") { guest_setns(descriptors[6], GUEST_CLONE_NEWPID) } }
  }
  // Only children are in the namespace that was set; this undoes it for the next ones.
  defer { if request.joins { guest_setns(ownNamespace, GUEST_CLONE_NEWPID) } }
  var namespaces: UInt64 = request.kind == .container ? UInt64(GUEST_CLONE_NEWNS) : 0
  if request.newPIDNamespace { namespaces |= UInt64(GUEST_CLONE_NEWPID) }
  return try step("fork") {
    var pidfd: Int32 = -1
    let pid = try systemCall("clone") { guest_clone_sibling(namespaces, descriptors[5], &pidfd) }
    return (pid, pidfd)
  }
}

private func runChild(_ request: ForkRequest, _ descriptors: [Int32]) -> Never {
  let socket = MessageSocket(descriptors[1])
  let job = JobDescriptors(job: descriptors[0], socket: socket, streams: Array(descriptors[2...4]))
  do {
    switch request.kind {
    case .container: try runContainer(job)
    case .exec: try runExec(job, target: descriptors[6])
    case .pause: runPause()
    }
  } catch {
    report(error, to: socket)
    _exit(Int32(error.exitCode))
  }
}

/// The first process of a PID namespace that several containers share: takes in what they leave behind.
private func runPause() -> Never {
  guest_process_name("pause")
  // Ignoring SIGCHLD makes the kernel reap (wait(2), Notes).
  signal(SIGCHLD, SIG_IGN)
  setsid()
  guest_close_range(0)
  while true { pause() }
}

private func report(_ error: any Error, to socket: MessageSocket) {
  var message = HelperMessage(.failed)
  let step = error as? StepError ?? StepError("\(error)")
  message.text = Array(step.text.utf8.prefix(4096))
  message.code = step.exitCode
  // Nobody is left to tell if this fails; the process' exit tells enough.
  try? socket.send(message)
}

/// The argument that makes the agent's executable the zygote.
public let zygoteArgument = "container-init"
