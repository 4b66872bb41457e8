import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Keeps this kernel from announcing an address of its own on a link of the calling thread's network namespace.
/// A link that is moved to another namespace needs it again.
public func disableIPv6(link name: String) throws(SystemError) {
  let path = "/proc/sys/net/ipv6/conf/\(name)/disable_ipv6"
  let file = open(path, O_WRONLY | O_CLOEXEC)
  // A kernel without IPv6 has none to disable.
  guard file >= 0 || errno != ENOENT else { return }
  guard file >= 0 else { throw SystemError("open", errno, subject: path) }
  defer { close(file) }
  try systemCall("write", subject: path) { write(file, "1", 1) }
}
