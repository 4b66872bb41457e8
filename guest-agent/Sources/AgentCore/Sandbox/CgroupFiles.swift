/// The files of a cgroup that stats are read from. All calls block.
final class CgroupFiles {
  /// By number, since each is looked up for each cgroup each time: hashing its name costs more than reading some.
  /// Those that the daemon is told of have their fields' numbers in the CgroupFiles message.
  enum Name: Int, CaseIterable {
    case cpu = 1
    case memory, memoryPeak, memoryLimit, swap, memoryParts, memoryEvents, threads, threadsLimit, cpuPressure
    case memoryPressure, ioPressure, disks
    case processes, descendants

    /// More than the largest of them.
    static let numbers = allCases.count + 1

    fileprivate var file: String {
      switch self {
      case .cpu: "cpu.stat"
      case .memory: "memory.current"
      case .memoryPeak: "memory.peak"
      case .memoryLimit: "memory.max"
      case .swap: "memory.swap.current"
      case .memoryParts: "memory.stat"
      case .memoryEvents: "memory.events"
      case .threads: "pids.current"
      case .threadsLimit: "pids.max"
      case .processes: "cgroup.procs"
      case .descendants: "cgroup.stat"
      case .cpuPressure: "cpu.pressure"
      case .memoryPressure: "memory.pressure"
      case .ioPressure: "io.pressure"
      case .disks: "io.stat"
      }
    }
  }

  /// The field in the CgroupFiles message for the number of processes.
  static let processes = 14

  private let path: String
  private var known = [KeptFile?](repeating: nil, count: Name.numbers)

  init(_ cgroup: Cgroup) { path = cgroup.path }

  /// How much of the file, from its beginning, is in `buffer` now: 0 for one that can't be read.
  func read(_ name: Name, _ buffer: inout [UInt8]) -> Int { file(name).read(&buffer) }

  /// The number of lines of a file of any length.
  func lines(_ name: Name, _ buffer: inout [UInt8]) -> Int {
    let file = file(name)
    var (total, offset) = (0, 0)
    while case let count = file.read(&buffer, from: offset), count > 0 {
      total += buffer[..<count].reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
      offset += count
    }
    return total
  }

  private func file(_ name: Name) -> KeptFile {
    if let file = known[name.rawValue] { return file }
    let file = KeptFile("\(path)/\(name.file)")
    known[name.rawValue] = file
    return file
  }
}
