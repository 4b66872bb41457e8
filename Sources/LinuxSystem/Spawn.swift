import CLinux

#if canImport(Glibc)
  import Glibc
#endif

/// Starts `executable`; `descriptors` become its descriptors from 0 on, and it has no others, exactly this environment
/// (NAME=VALUE), and no signal blocked or ignored. Each of `descriptors` has to be above the number that it becomes.
///
/// With `ownGroup` it leads a process group. Waiting for its end is the caller's. Throws what posix_spawn(3) said.
public func spawnProcess(
  _ executable: String, arguments: [String] = [], environment: [String] = [], descriptors: [Int32],
  ownGroup: Bool = false
) throws(SystemError) -> pid_t {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  for (number, descriptor) in descriptors.enumerated() {
    posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
  }
  _ = bh_spawn_close_from(&actions, Int32(descriptors.count))
  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var signals = sigset_t()
  sigemptyset(&signals)
  posix_spawnattr_setsigmask(&attributes, &signals)
  sigfillset(&signals)
  posix_spawnattr_setsigdefault(&attributes, &signals)
  posix_spawnattr_setpgroup(&attributes, 0)
  let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (ownGroup ? POSIX_SPAWN_SETPGROUP : 0)
  posix_spawnattr_setflags(&attributes, Int16(flags))
  var words = ([executable] + arguments).map { strdup($0) } + [nil]
  var variables = environment.map { strdup($0) } + [nil]
  defer { for text in words + variables { free(text) } }
  var pid: pid_t = 0
  var failure = posix_spawn(&pid, executable, &actions, &attributes, &words, &variables)
  // Somebody installs it this very moment, or another process was forked while they did.
  for _ in 0..<20 where failure == ETXTBSY {
    usleep(10_000)
    failure = posix_spawn(&pid, executable, &actions, &attributes, &words, &variables)
  }
  guard failure == 0 else { throw SystemError("start", failure, subject: executable) }
  return pid
}
