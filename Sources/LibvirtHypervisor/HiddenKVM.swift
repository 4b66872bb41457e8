import CLinux
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Keeps libvirt's probes of QEMU from a /dev/kvm that is not to be used: they run with
/// CAP_DAC_OVERRIDE and so open the device whatever its mode says. If the mode then says that a machine
/// could not, libvirt takes what it has learnt for outdated and probes again at every turn, 0.7 s each.
struct HiddenKVM: Sendable {
  /// A file that is bound over the device.
  var standIn: String

  /// Gives the calling thread, and what it starts from then on, a view of the file system without the
  /// device. Nothing is done where there is none.
  func hide() throws(SystemError) {
    guard access("/dev/kvm", F_OK) == 0 else { return }
    if access(standIn, F_OK) != 0 { try replaceFile(standIn, [], mode: 0) }
    try systemCall("unshare") { bh_unshare(bh_CLONE_NEWNS) }
    try systemCall("mount", subject: "/") { bh_make_mounts_slave() }
    try systemCall("mount", subject: "/dev/kvm") { bh_bind_mount(standIn, "/dev/kvm") }
  }
}
