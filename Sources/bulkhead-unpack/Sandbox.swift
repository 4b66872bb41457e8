import CLinux
import Glibc
import LayerFormat
import LinuxSystem

/// Gives up everything that converting a layer does not need. Afterwards the process has five open
/// files, no name for any other, no network, no other user's rights, and a handful of system calls.
enum Sandbox {
  /// Each step throws rather than go on without: a layer is never read half-protected.
  static func enter(_ options: UnpackOptions) throws {
    try systemCall("close_range") { bh_close_from(UInt32(UnpackOptions.indexDescriptor + 1)) }
    // Past RLIMIT_FSIZE a write fails with EFBIG instead of killing the process.
    signal(SIGXFSZ, SIG_IGN)
    if geteuid() == 0 {
      try leaveNetworkAndFiles()
      try becomeUnprivileged(uid: options.uid, gid: options.gid)
    } else if geteuid() != options.uid || getegid() != options.gid {
      throw LayerFormatError("bulkhead-unpack can become user \(options.uid) only when root starts it")
    }
    try limitResources(options)
    try systemCall("prctl") { bh_set_no_new_privs() }
    try systemCall("prctl") { bh_set_undumpable() }
    try SeccompFilter.load()
  }

  /// The root becomes a directory that is already deleted: empty for good.
  private static func leaveNetworkAndFiles() throws {
    try systemCall("unshare") { bh_unshare(bh_CLONE_NEWNET) }
    var template = Array("/tmp/bulkhead-unpack.XXXXXX\0".utf8CString)
    guard let directory = mkdtemp(&template) else { throw SystemError("mkdtemp", errno) }
    try systemCall("chdir") { chdir(directory) }
    try systemCall("rmdir") { rmdir(directory) }
    try systemCall("chroot") { chroot(".") }
  }

  private static func becomeUnprivileged(uid: UInt32, gid: UInt32) throws {
    guard uid != 0, gid != 0 else { throw LayerFormatError("bulkhead-unpack does not run as root: set another user") }
    try systemCall("setgroups") { setgroups(0, nil) }
    try systemCall("setgid") { setgid(gid) }
    try systemCall("setuid") { setuid(uid) }
  }

  private static func limitResources(_ options: UnpackOptions) throws {
    try limit(RLIMIT_CORE, 0)
    try limit(RLIMIT_NOFILE, rlim_t(UnpackOptions.indexDescriptor + 1))
    try limit(__RLIMIT_NPROC, 0)
    try limit(RLIMIT_AS, 768 << 20)
    try limit(RLIMIT_FSIZE, rlim_t(options.maximumSize) + rlim_t(FormatLimits.blockSize))
  }

  private static func limit(_ resource: __rlimit_resource, _ value: rlim_t) throws {
    var limits = rlimit(rlim_cur: value, rlim_max: value)
    try systemCall("setrlimit") { setrlimit(__rlimit_resource_t(resource.rawValue), &limits) }
  }
}
