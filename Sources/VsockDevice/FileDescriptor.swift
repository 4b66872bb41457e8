#if canImport(Glibc)
  import Glibc
#endif

/// A file descriptor that is closed when its last holder lets go of it.
final class FileDescriptor {
  let number: Int32
  init(_ number: Int32) { self.number = number }
  deinit { close(number) }
}
