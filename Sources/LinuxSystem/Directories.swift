#if canImport(Glibc)
  import Glibc
#endif

/// Makes a directory and those above it, with `mode` as it is, whatever the umask; one that is there
/// keeps its mode.
public func makeDirectories(_ path: String, mode: mode_t) throws(SystemError) {
  var made = ""
  for part in path.split(separator: "/") {
    made += "/\(part)"
    guard mkdir(made, mode) != 0 else {
      try systemCall("chmod", subject: made) { chmod(made, mode) }
      continue
    }
    let number = errno
    guard number == EEXIST else { throw SystemError("mkdir", number, subject: made) }
  }
}
