import CLinux
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Starts a program with an empty environment, no input, and nothing open but `output` as its standard
/// output and error (nowhere if nil) and `passed` as descriptor 3. The caller waits for it.
func spawnProcess(
  _ program: String, _ arguments: [String], output: Int32?, passing passed: Int32? = nil
) throws(SystemError) -> Int32 {
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
  for descriptor in [STDOUT_FILENO, STDERR_FILENO] {
    if let output {
      posix_spawn_file_actions_adddup2(&actions, output, descriptor)
    } else {
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
    }
  }
  if let passed { posix_spawn_file_actions_adddup2(&actions, passed, 3) }
  _ = bh_spawn_close_from(&actions, passed == nil ? 3 : 4)
  var words = ([program] + arguments).map { strdup($0) } + [nil]
  defer { for word in words { free(word) } }
  var environment: [UnsafeMutablePointer<CChar>?] = [nil]
  var pid: Int32 = 0
  let failure = posix_spawn(&pid, program, &actions, nil, &words, &environment)
  guard failure == 0 else { throw SystemError("posix_spawn", failure, subject: program) }
  return pid
}
