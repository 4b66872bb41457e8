import CGuest
import CLinux
import Glibc
import LinuxSystem

/// A terminal of the container's own devpts, so that its name means something inside.
struct Terminal: ~Copyable {
  let master: Descriptor
  let slave: Descriptor

  /// Opens a new terminal by the ptmx at `path`, which the container may have replaced: it is checked to be
  /// the real thing.
  init(ptmx: consuming Descriptor) throws {
    let status = try fileStatus(ptmx)
    guard status.st_mode & S_IFMT == S_IFCHR, guest_device_major(status.st_rdev) == 5,
      guest_device_minor(status.st_rdev) == 2
    else { throw StepError("/dev/pts/ptmx is not a terminal multiplexer") }
    let number = ptmx.number
    try systemCall("unlockpt") { guest_terminal_unlock(number) }
    slave = Descriptor(owning: try systemCall("open terminal") { guest_terminal_peer(number) })
    master = ptmx
  }

  /// Makes it the standard streams and the controlling terminal of this process, a session leader, and the
  /// property of `uid`.
  func adopt(owner uid: UInt32) throws(SystemError) {
    let number = slave.number
    try systemCall("chown terminal") { fchown(number, uid, gid_t.max) }
    for stream in Int32(0)...2 { try systemCall("dup2") { dup2(number, stream) } }
    try systemCall("TIOCSCTTY") { guest_terminal_control(0) }
  }
}
