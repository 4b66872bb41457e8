import Common
import Glibc
import LinuxSystem

/// The wall clock, nanoseconds since 1970.
func now() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
}

/// Succeeds if there is no such file.
func removeFile(_ path: String) {
  unlink(path)
}

/// Removes a directory of files (no directories below); succeeds if it is gone.
func removeFlatDirectory(_ path: String) throws {
  if let directory = opendir(path) {
    defer { closedir(directory) }
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { unlink("\(path)/\(name)") }
    }
  }
  guard rmdir(path) == 0 || errno == ENOENT else { throw SystemError("rmdir", errno, subject: path) }
}
