import CLinux
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Makes a listening unix socket of mode 0600, close-on-exec and non-blocking. A path that exists is an
/// error: whoever made the directory answers for what is in it.
func listen(at path: String, owner: (uid: UInt32, gid: UInt32)?) throws(SystemError) -> Int32 {
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let bytes = Array(path.utf8)
  guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
    throw SystemError("bind", ENAMETOOLONG, subject: path)
  }
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }

  let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
  let descriptor = try systemCall("socket") { socket(AF_UNIX, kind, 0) }
  // The mode is there from the first moment, not set afterwards.
  let mask = umask(0o177)
  defer { umask(mask) }
  try systemCall("bind", subject: path) {
    withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
  if let owner { try systemCall("chown", subject: path) { chown(path, owner.uid, owner.gid) } }
  try systemCall("listen", subject: path) { Glibc.listen(descriptor, 1024) }
  return descriptor
}
