import CGuest
import CLinux
import Glibc
import LinuxSystem

/// The descriptors that came with a request, in the child that serves it.
struct JobDescriptors {
  let job: Int32
  let socket: MessageSocket
  /// Standard input, output, error.
  let streams: [Int32]

  /// The whole job. Its size was fixed by the agent, who wrote it before sending.
  func read<Job: WireCoded>(_: Job.Type) throws -> Job {
    var status = stat()
    try systemCall("fstat") { fstat(job, &status) }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < bytes.count {
      let count = try systemCall("pread") {
        bytes.withUnsafeMutableBytes {
          pread(job, $0.baseAddress.map { $0 + filled }, $0.count - filled, off_t(filled))
        }
      }
      guard count > 0 else { throw WireError() }
      filled += count
    }
    return try Job(wire: bytes)
  }
}

/// What every process of a container begins with: a session of its own, its standard streams, its share of
/// the blame when memory runs out. Needs the guest's /proc still.
func beginProcess(_ plan: ProcessPlan, _ descriptors: JobDescriptors) throws(StepError) {
  try step("prepare the process") {
    try systemCall("setsid") { setsid() }
    for (number, stream) in descriptors.streams.enumerated() where stream != Int32(number) {
      try systemCall("dup2") { dup2(stream, Int32(number)) }
    }
    try setOOMScoreAdjustment(plan.oomScoreAdjustment)
  }
}

/// How readily the kernel kills this process and those that it makes when memory runs out (proc(5)).
func setOOMScoreAdjustment(_ value: Int32) throws(SystemError) {
  let text = Array("\(value)".utf8)
  let file = Descriptor(
    owning: try systemCall("open", subject: "oom_score_adj") {
      open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0)
    })
  let number = file.number
  try systemCall("write", subject: "oom_score_adj") { write(number, text, text.count) }
}

/// What every process of a container ends with, still root: limits, ownership of its streams, and nothing
/// open that is not its own once it becomes the program.
func finishProcess(_ plan: ProcessPlan, _ identity: Identity) throws(StepError) {
  for limit in plan.limits {
    try step("set resource limit \(limit.resource) to \(limit.soft):\(limit.hard)") {
      try systemCall("setrlimit") { guest_set_limit(limit.resource, limit.soft, limit.hard) }
    }
  }
  try step("hand over the standard streams") {
    for stream in Int32(0)...2 {
      var status = stat()
      try systemCall("fstat") { fstat(stream, &status) }
      // So that a process that isn't root can open /dev/stdout.
      if status.st_mode & S_IFMT == S_IFIFO { try systemCall("chown pipe") { fchown(stream, identity.uid, gid_t.max) } }
    }
    try systemCall("close_range") { guest_close_range_on_exec(3) }
  }
}

/// Past the gate: the last privileges go, and the program takes over.
func becomeProgram(_ plan: ProcessPlan, _ identity: Identity) throws(StepError) -> Never {
  // Ignored and blocked signals would stay so in the program.
  guest_reset_signals()
  umask(0o022)
  try step("drop privileges") { try becomeUser(identity, plan) }
  try runProgram(plan.arguments, environment: environment(plan, identity))
}

/// The plan's environment, with what a login would add where it is missing.
private func environment(_ plan: ProcessPlan, _ identity: Identity) -> [[UInt8]] {
  var environment = plan.environment
  func provide(_ name: String, _ value: [UInt8]) {
    let prefix = Array("\(name)=".utf8)
    if !environment.contains(where: { $0.starts(with: prefix) }) { environment.append(prefix + value) }
  }
  provide("HOME", identity.home)
  if plan.terminal { provide("TERM", Array("xterm".utf8)) }
  return environment
}

/// Makes `path` the working directory, inside the container's root by now.
func enterDirectory(_ path: [UInt8]) throws(StepError) {
  try step("enter working directory \"\(shown(path))\"") {
    try systemCall("chdir") { withPath(path) { chdir($0) } }
  }
}
