import Glibc

/// The files of a cgroup that stats are read from, each opened when it is first read and kept open: opening and
/// closing are most of what reading one costs. All calls block.
final class CgroupFiles {
  enum Name: String, CaseIterable {
    case cpu = "cpu.stat"
    case memory = "memory.current"
    case memoryPeak = "memory.peak"
    case memoryLimit = "memory.max"
    case swap = "memory.swap.current"
    case memoryParts = "memory.stat"
    case memoryEvents = "memory.events"
    case threads = "pids.current"
    case threadsLimit = "pids.max"
    case processes = "cgroup.procs"
    case descendants = "cgroup.stat"
    case cpuPressure = "cpu.pressure"
    case memoryPressure = "memory.pressure"
    case ioPressure = "io.pressure"
    case disks = "io.stat"
  }

  private let path: String
  private var open: [Name: Int32] = [:]

  init(_ cgroup: Cgroup) { path = cgroup.path }
  deinit { for file in open.values { close(file) } }

  /// How much of the file, from its beginning, is in `buffer` now: 0 for one that can't be read.
  func read(_ name: Name, _ buffer: inout [UInt8]) -> Int {
    if let file = open[name] {
      let count = pread(file, &buffer, buffer.count, 0)
      if count >= 0 { return count }
      // It was of a former cgroup with this name.
      close(file)
      open[name] = nil
    }
    guard let file = opened(name) else { return 0 }
    return max(pread(file, &buffer, buffer.count, 0), 0)
  }

  /// The number of lines of a file of any length.
  func lines(_ name: Name, _ buffer: inout [UInt8]) -> Int {
    var (total, offset) = (0, 0)
    var count = read(name, &buffer)
    while count > 0 {
      total += buffer[..<count].reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
      offset += count
      count = open[name].map { pread($0, &buffer, buffer.count, offset) } ?? 0
    }
    return total
  }

  private func opened(_ name: Name) -> Int32? {
    let file = Glibc.open("\(path)/\(name.rawValue)", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    open[name] = file
    return file
  }
}
