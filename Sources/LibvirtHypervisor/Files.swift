import Common
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// Makes a directory (not its parents) of root's with exactly this mode; one that is there gets it.
func makeDirectory(_ path: String, mode: mode_t) throws(SystemError) {
  if mkdir(path, mode) == -1, errno != EEXIST { throw SystemError("mkdir", errno, subject: path) }
  try systemCall("chmod", subject: path) { chmod(path, mode) }
}

/// Replaces a file as a whole, or not at all. With an owner, it is that user's.
func replaceFile(
  _ path: String, _ contents: [UInt8], mode: mode_t, owner: (uid: UInt32, gid: UInt32)? = nil
) throws(SystemError) {
  let new = path + ".new"
  unlink(new)
  let file = try systemCall("open", subject: new) { open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode) }
  defer { close(file) }
  try writeAll(contents, to: file, subject: new)
  try systemCall("fchmod", subject: new) { fchmod(file, mode) }
  if let owner { try systemCall("fchown", subject: new) { fchown(file, owner.uid, owner.gid) } }
  try systemCall("rename", subject: path) { rename(new, path) }
}

/// At most `limit` bytes of a file, from its beginning; nil if there is no such file.
func readFile(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> [UInt8]? {
  let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
  if file == -1 {
    if errno == ENOENT { return nil }
    throw SystemError("open", errno, subject: path)
  }
  defer { close(file) }
  var contents = [UInt8](repeating: 0, count: limit)
  var count = 0
  while count < limit {
    let got = try systemCall("read", subject: path) {
      contents.withUnsafeMutableBytes { read(file, $0.baseAddress.map { $0 + count }, limit - count) }
    }
    if got == 0 { break }
    count += got
  }
  return Array(contents.prefix(count))
}

/// Removes a file; one that isn't there is no failure.
func removeFile(_ path: String) throws(SystemError) {
  if unlink(path) == -1, errno != ENOENT { throw SystemError("unlink", errno, subject: path) }
}
