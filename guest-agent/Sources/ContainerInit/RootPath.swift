import CGuest
import CLinux
import Glibc
import LinuxSystem

/// The container's root while it is built: a directory that no path in it can leave. Symbolic links of the
/// image are followed by the kernel as if the process were inside already (RESOLVE_IN_ROOT).
struct RootPath: ~Copyable {
  enum Missing { case fail, makeDirectory, makeFile }

  let directory: Descriptor

  init(_ path: [UInt8]) throws {
    directory = Descriptor(
      owning: try systemCall("open", subject: shown(path)) {
        withPath(path) { Glibc.open($0, GUEST_O_PATH | O_DIRECTORY | O_CLOEXEC, 0) }
      })
  }

  /// An GUEST_O_PATH descriptor of `path`. What is missing is made, owned by root, its parents too.
  func open(_ path: [UInt8], missing: Missing = .fail) throws -> Descriptor {
    try open(path, flags: GUEST_O_PATH, missing: missing, depth: 0)
  }

  /// Opens a file to read. Nil if there is none; never blocks on a FIFO that the image put there.
  func openForReading(_ path: [UInt8]) throws -> Descriptor? {
    do {
      return Descriptor(owning: try resolve(path, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY))
    } catch {
      guard error.number == ENOENT || error.number == ENOTDIR else { throw error }
      return nil
    }
  }

  /// Opens a file, a device for instance, to read and write.
  func openReadWrite(_ path: [UInt8]) throws -> Descriptor {
    Descriptor(owning: try resolve(path, flags: O_RDWR | O_NOCTTY))
  }

  /// Runs `body` with the parent directory of `path`, made if missing, and the last component.
  func withParent<Result>(of path: [UInt8], _ body: (Int32, _ name: [UInt8]) throws -> Result) throws -> Result {
    let (parentPath, name) = try split(path)
    let parent = try open(parentPath, missing: .makeDirectory)
    return try body(parent.number, name)
  }

  private func resolve(_ path: [UInt8], flags: Int32) throws(SystemError) -> Int32 {
    try systemCall("open", subject: shown(path)) {
      withPath(path) {
        guest_openat2(
          directory.number, $0, UInt64(flags | O_CLOEXEC), 0,
          UInt64(GUEST_RESOLVE_IN_ROOT | GUEST_RESOLVE_NO_MAGICLINKS))
      }
    }
  }

  private func open(_ path: [UInt8], flags: Int32, missing: Missing, depth: Int) throws -> Descriptor {
    do throws(SystemError) {
      return Descriptor(owning: try resolve(path, flags: flags))
    } catch {
      guard error.number == ENOENT, missing != .fail else { throw error }
      guard depth < 64 else { throw SystemError("open", ELOOP, subject: shown(path)) }
    }
    let (parentPath, name) = try split(path)
    let parent = try open(parentPath, flags: GUEST_O_PATH, missing: .makeDirectory, depth: depth + 1)
    do throws(SystemError) {
      try make(name, in: parent, missing)
    } catch {
      guard error.number == EEXIST else { throw error }
      // Missing and yet there: a symbolic link to nothing. Make what it points to.
      let target = try readLink(name, in: parent)
      let next = target.first == slash ? target : parentPath + [slash] + target
      return try open(next, flags: flags, missing: missing, depth: depth + 1)
    }
    return Descriptor(owning: try resolve(path, flags: flags))
  }

  private func make(_ name: [UInt8], in parent: borrowing Descriptor, _ missing: Missing) throws(SystemError) {
    let directory = parent.number
    if missing == .makeDirectory {
      try systemCall("mkdir", subject: shown(name)) { withPath(name) { mkdirat(directory, $0, 0o755) } }
    } else {
      try systemCall("mknod", subject: shown(name)) { withPath(name) { mknodat(directory, $0, S_IFREG | 0o644, 0) } }
    }
  }

  private func readLink(_ name: [UInt8], in parent: borrowing Descriptor) throws -> [UInt8] {
    let directory = parent.number
    var target = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = try systemCall("readlink", subject: shown(name)) {
      withPath(name) { readlinkat(directory, $0, &target, target.count) }
    }
    return target.prefix(length).map { UInt8(bitPattern: $0) }
  }

  private func split(_ path: [UInt8]) throws -> (parent: [UInt8], name: [UInt8]) {
    let components = path.split(separator: slash).filter { $0.count != 1 || $0.first != dot }
    guard let name = components.last, Array(name) != [dot, dot] else {
      throw SystemError("open", EINVAL, subject: shown(path))
    }
    let parent = components.dropLast().reduce(into: [UInt8]()) { $0 += [slash] + $1 }
    return (parent.isEmpty ? [slash] : parent, Array(name))
  }
}

let slash = UInt8(ascii: "/")
private let dot = UInt8(ascii: ".")
