import CGuest
import CLinux
import ContainerInit
import Glibc
import LinuxSystem

/// A directory of the cgroup v2 hierarchy. All calls may block.
struct Cgroup: Sendable {
  let path: String

  static let root = Cgroup(path: "/sys/fs/cgroup")

  func child(_ name: String) -> Cgroup { Cgroup(path: "\(path)/\(name)") }

  func create() throws {
    try systemCall("mkdir", subject: path) { mkdir(path, 0o755) }
  }

  func write(_ file: String, _ value: String) throws {
    try writeFile("\(path)/\(file)", Array(value.utf8))
  }

  func read(_ file: String) throws -> String {
    String(decoding: try readFile("\(path)/\(file)", limit: 64 << 10), as: UTF8.self)
  }

  /// The number after `key` in a file of lines "key number".
  func value(_ file: String, _ key: String) throws -> UInt64? {
    for line in try read(file).split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count == 2, fields[0] == key { return UInt64(fields[1]) }
    }
    return nil
  }

  /// For `clone` into it.
  func openDirectory() throws -> Descriptor {
    Descriptor(owning: try systemCall("open", subject: path) { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
  }

  /// Lets children use all controllers that are available here.
  func enableControllers() throws {
    let controllers = try read("cgroup.controllers").split(whereSeparator: \.isWhitespace).map { "+\($0)" }
    // In one write, as each costs the kernel a round through all its processors.
    if !controllers.isEmpty { try write("cgroup.subtree_control", controllers.joined(separator: " ")) }
  }

  /// SIGKILL for every process here and below.
  func kill() throws { try write("cgroup.kill", "1") }

  /// Kills until nothing lives here or below; false if that did not happen within `milliseconds`
  /// (processes that sleep uninterruptibly).
  func killAndWait(milliseconds: Int = 10_000) throws -> Bool {
    let events = Descriptor(
      owning: try systemCall("open", subject: path) { open("\(path)/cgroup.events", O_RDONLY | O_CLOEXEC) })
    for _ in 0..<max(1, milliseconds / 50) {
      if try value("cgroup.events", "populated") == 0 { return true }
      try kill()
      var waiting = pollfd(fd: events.number, events: Int16(POLLPRI), revents: 0)
      if try value("cgroup.events", "populated") == 0 { return true }
      poll(&waiting, 1, 50)
    }
    return false
  }

  /// Removes it and what containers made below it. What is not there is removed already.
  func remove() throws {
    for name in try directoryEntries(path) where name.isDirectory {
      try child(String(decoding: name.name, as: UTF8.self)).remove()
    }
    for attempt in 0... {
      guard rmdir(path) != 0, errno != ENOENT else { return }
      // Processes that were just killed may hold it for moments.
      guard errno == EBUSY, attempt < 100 else { throw SystemError("rmdir", errno, subject: path) }
      usleep(1000)
    }
  }
}
