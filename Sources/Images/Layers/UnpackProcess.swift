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
    let files = [inputOfChild, outputOfChild, errorsOfChild, data, index]
    let pid = try withExtendedLifetime(files) {
      try spawnProcess(executable, arguments: options.arguments, descriptors: files.map(\.descriptor))
    }
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

  func kill() { _ = bh_pidfd_send_signal(pidfd.descriptor, SIGKILL) }
}
