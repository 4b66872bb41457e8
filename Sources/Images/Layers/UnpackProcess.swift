import CLinux
import Common
import Glibc
import LayerFormat
import LinuxSystem

/// An open descriptor, closed with the last reference to it.
final class OpenFile: Sendable {
  let descriptor: Int32
  init(_ descriptor: Int32) { self.descriptor = descriptor }
  deinit { close(descriptor) }

  /// The same file under a number above those that the process is given.
  func raised() throws -> OpenFile {
    OpenFile(try systemCall("fcntl") { fcntl(descriptor, F_DUPFD_CLOEXEC, 10) })
  }
}

/// The running bulkhead-unpack, as its parent sees it. Its methods block.
struct UnpackProcess: Sendable {
  let pid: pid_t
  let pidfd: OpenFile
  let input: OpenFile
  let output: OpenFile
  let errors: OpenFile

  /// Starts `executable` with new files for data and index.
  static func start(executable: String, options: UnpackOptions, files: LayerFiles) throws -> UnpackProcess {
    let data = try create(files.data).raised()
    let index = try create(files.index).raised()
    var pair: [Int32] = [-1, -1]
    try systemCall("socketpair") {
      socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &pair)
    }
    let (input, inputOfChild) = (OpenFile(pair[0]), try OpenFile(pair[1]).raised())
    var size: Int32 = 1 << 20
    try systemCall("setsockopt") {
      setsockopt(input.descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }
    let (output, outputOfChild) = try pipe()
    let (errors, errorsOfChild) = try pipe()
    let pid = try spawn(executable, options, [inputOfChild, outputOfChild, errorsOfChild, data, index])
    do {
      let pidfd = OpenFile(try systemCall("pidfd_open") { bh_pidfd_open(pid) })
      return UnpackProcess(pid: pid, pidfd: pidfd, input: input, output: output, errors: errors)
    } catch {
      Glibc.kill(pid, SIGKILL)
      waitpid(pid, nil, 0)
      throw error
    }
  }

  private static func create(_ path: String) throws -> OpenFile {
    do {
      return OpenFile(
        try systemCall("open", subject: path) { open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) })
    } catch {
      guard error.number == EEXIST else { throw error }
      throw BulkheadError(.alreadyExists, "\(path) exists already: a layer is converted into an empty directory")
    }
  }

  private static func pipe() throws -> (reading: OpenFile, writing: OpenFile) {
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe2") { bh_pipe(&ends) }
    return (OpenFile(ends[0]), try OpenFile(ends[1]).raised())
  }

  /// `files` become the process's descriptors from 0 on; it has no others, no environment, and no
  /// signal blocked or ignored.
  private static func spawn(_ executable: String, _ options: UnpackOptions, _ files: [OpenFile]) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (number, file) in files.enumerated() {
      posix_spawn_file_actions_adddup2(&actions, file.descriptor, Int32(number))
    }
    _ = bh_spawn_close_from(&actions, Int32(files.count))
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    var arguments = ([executable] + options.arguments).map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var environment: [UnsafeMutablePointer<CChar>?] = [nil]
    var pid: pid_t = 0
    let failure = posix_spawn(&pid, executable, &actions, &attributes, &arguments, &environment)
    guard failure == 0 else { throw SystemError("start", failure, subject: executable) }
    return pid
  }

  func kill() { _ = bh_pidfd_send_signal(pidfd.descriptor, SIGKILL) }
}
