import CGuest
import CLinux
import Glibc
import LinuxSystem

/// Builds a container around this process, which is alone in a new mount namespace and in its cgroup, waits
/// at the gate, and becomes the container's program. Returns only by throwing.
func runContainer(_ descriptors: JobDescriptors) throws(StepError) -> Never {
  let job = try step("read the job") { try descriptors.read(ContainerJob.self) }
  try beginProcess(job.process, descriptors)
  try step("make a cgroup namespace") { try systemCall("unshare") { guest_unshare(GUEST_CLONE_NEWCGROUP) } }
  let root = try mountRoot(job.root)
  let identity = try step("look up the user \"\(shown(job.user.name))\"") { try lookUpUser(job.user, in: root) }
  try populate(root, job)
  makeWorkingDirectory(job.process.directory, in: root)
  let terminal = try openTerminal(job, root, owner: identity.uid)
  try protect(root, job)
  try enterRoot(root, readonly: job.root.readonly)
  try enterDirectory(job.process.directory)
  try finishProcess(job.process, identity)
  try waitAtGate(descriptors.socket, identity, terminal)
  try becomeProgram(job.process, identity)
}

/// Runs a further process in the container whose first process `target` (a pidfd) is.
func runExec(_ descriptors: JobDescriptors, target: Int32) throws(StepError) -> Never {
  let job = try step("read the job") { try descriptors.read(ExecJob.self) }
  try beginProcess(job.process, descriptors)
  try step("enter the container") {
    try systemCall("setns") { guest_setns(target, GUEST_CLONE_NEWNS | GUEST_CLONE_NEWCGROUP) }
  }
  if job.process.terminal {
    try step("open a terminal") {
      let ptmx = try RootPath(Array("/".utf8)).openTerminalMultiplexer()
      let terminal = try Terminal(ptmx: ptmx)
      try terminal.adopt(owner: job.identity.uid)
      try descriptors.socket.send(HelperMessage(.ready), descriptors: [terminal.master.number])
    }
  }
  try enterDirectory(job.process.directory)
  try finishProcess(job.process, job.identity)
  try becomeProgram(job.process, job.identity)
}

private func lookUpUser(_ plan: UserPlan, in root: borrowing RootPath) throws -> Identity {
  let passwd = try readFile("/etc/passwd", in: root)
  let group = try readFile("/etc/group", in: root)
  do {
    return try UserDatabase(passwd: passwd, group: group).resolve(plan)
  } catch {
    throw StepError(error.description)
  }
}

/// A regular file of the image, as much of it as `UserDatabase` looks at; empty if there is none.
private func readFile(_ path: StaticString, in root: borrowing RootPath) throws -> [UInt8] {
  guard let file = try root.openForReading(Array("\(path)".utf8)) else { return [] }
  let status = try fileStatus(file)
  guard status.st_mode & S_IFMT == S_IFREG else { return [] }
  var bytes = [UInt8](repeating: 0, count: min(Int(status.st_size), UserDatabase.fileLimit))
  let number = file.number
  let count = try systemCall("read", subject: "\(path)") {
    bytes.withUnsafeMutableBytes { read(number, $0.baseAddress, $0.count) }
  }
  return Array(bytes.prefix(count))
}

private func populate(_ root: borrowing RootPath, _ job: ContainerJob) throws(StepError) {
  for plan in job.mounts {
    let what = plan.kind == .filesystem ? plan.type : plan.subPath.isEmpty ? plan.source : plan.subPath
    try step("mount \"\(shown(what))\" on \"\(shown(plan.destination))\"") { try mount(plan, in: root) }
  }
  var devices = job.devices
  if job.allDevices { devices += try step("list the guest's devices") { try guestDevices() } }
  umask(0)
  for device in devices {
    try step("make device \"\(shown(device.path))\"") { try makeDevice(device, in: root) }
  }
  umask(0o022)
  try step("make the links in /dev") { try makeDeviceLinks(in: root) }
}

/// Makes the working directory if it is missing, root's as in runc, and before the root is read-only: an image
/// need not have it. What can't be made, chdir tells better.
private func makeWorkingDirectory(_ path: [UInt8], in root: borrowing RootPath) {
  _ = try? root.open(path, missing: .makeDirectory).number
}

/// The terminal's master, if the process is to have one; exec closes it. The slave is this process' standard
/// streams then, and the container's /dev/console.
private func openTerminal(
  _ job: ContainerJob, _ root: borrowing RootPath, owner uid: UInt32
) throws(StepError) -> Int32? {
  guard job.process.terminal else { return nil }
  return try step("open a terminal") {
    let terminal = try Terminal(ptmx: root.openTerminalMultiplexer())
    try terminal.adopt(owner: uid)
    let console = try root.open(Array("/dev/console".utf8), missing: .makeFile)
    try attach(copyTree(at: terminal.slave), to: console)
    let number = terminal.master.number
    return try systemCall("dup") { fcntl(number, F_DUPFD_CLOEXEC, 3) }
  }
}

private func protect(_ root: borrowing RootPath, _ job: ContainerJob) throws(StepError) {
  for path in job.maskedPaths {
    try step("mask \"\(shown(path))\"") { try maskPath(path, in: root) }
  }
  for path in job.readonlyPaths {
    try step("make \"\(shown(path))\" read-only") { try makeReadonly(path, in: root) }
  }
}

private func waitAtGate(
  _ socket: MessageSocket, _ identity: Identity, _ terminal: Int32?
) throws(StepError) {
  try step("wait for the start") {
    var ready = HelperMessage(.ready)
    ready.identity = identity
    try socket.send(ready, descriptors: terminal.map { [$0] } ?? [])
    // The agent closes the socket when nobody wants the container any more.
    guard try socket.receive(HelperMessage.self) != nil else { throw StepError("the container was given up") }
  }
}

extension RootPath {
  fileprivate func openTerminalMultiplexer() throws -> Descriptor {
    try openReadWrite(Array("/dev/pts/ptmx".utf8))
  }
}
