import CLinux
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Leaves the parent's session and files behind: own session, default signals, only the standard
/// descriptors, and nothing on standard input.
func detachFromParent() throws(SystemError) {
  // Fails only for a process group's leader, which a shell makes of us; then the session stays.
  setsid()
  signal(SIGPIPE, SIG_IGN)
  signal(SIGHUP, SIG_IGN)
  var none = sigset_t()
  sigemptyset(&none)
  sigprocmask(SIG_SETMASK, &none, nil)
  try systemCall("close_range") { bh_close_from(3) }
  try replaceByNull(STDIN_FILENO)
}

/// /dev/null in the place of a standard descriptor, whose other end sees it closed.
func replaceByNull(_ descriptor: Int32) throws(SystemError) {
  let null = try systemCall("open", subject: "/dev/null") { open("/dev/null", O_RDWR | O_CLOEXEC) }
  try systemCall("dup2") { dup2(null, descriptor) }
  close(null)
}

/// As many descriptors as the connections need (fewer where the hard limit says so), no core dumps:
/// they would hold the guest's memory. Returns how many connections fit.
func limitResources(connections: Int) throws(SystemError) -> Int {
  let others = 64
  var files = rlimit()
  try systemCall("getrlimit") { getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) }
  let wanted = rlim_t(connections + others)
  // Only CAP_SYS_RESOURCE may raise the hard limit.
  for most in [wanted, min(wanted, files.rlim_max)] {
    files = rlimit(rlim_cur: most, rlim_max: most)
    if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) == 0 { break }
  }
  try systemCall("getrlimit") { getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) }
  var core = rlimit(rlim_cur: 0, rlim_max: 0)
  try systemCall("setrlimit") { setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &core) }
  return min(connections, max(1, Int(files.rlim_cur) - others))
}

/// Becomes the given user for good, in the root directory: no group but `gid`, no capability in any
/// set, none to be gained.
func dropPrivileges(uid: UInt32, gid: UInt32) throws(SystemError) {
  try systemCall("chdir", subject: "/") { chdir("/") }
  if geteuid() == 0 {
    // While we are root still, who alone may shrink it; setuid(2) by root leaves no saved user either.
    bh_drop_bounding_capabilities()
    try systemCall("setgroups") { setgroups(0, nil) }
    try systemCall("setgid") { setgid(gid) }
    try systemCall("setuid") { setuid(uid) }
  } else if getuid() != uid || getgid() != gid {
    throw SystemError("setuid", EPERM, subject: "to user \(uid) and group \(gid): this needs root")
  }
  try systemCall("capset") { bh_clear_capabilities() }
  try systemCall("prctl", subject: "PR_SET_NO_NEW_PRIVS") { bh_set_no_new_privs() }
  try systemCall("prctl", subject: "PR_SET_DUMPABLE") { bh_set_undumpable() }
}
