import AgentProtocol
import ContainerInit
import Glibc
import LinuxSystem

/// What the processes of a container have open, and what they do: looked up in /proc one by one, so only for whoever
/// asks for it. Bounded, as a container may have any number of either. All calls block.
struct ProcessDetailsReader {
  private static let mostProcesses = 1024
  private static let mostDescriptors: UInt64 = 16384

  private var details = Bulkhead_Agent_V1_ProcessDetails()

  /// `first` is the container's first process. What ends meanwhile is not counted.
  static func read(_ cgroup: Cgroup, first: pid_t) -> Bulkhead_Agent_V1_ProcessDetails {
    var reader = ProcessDetailsReader()
    for process in processes(of: cgroup) {
      reader.countDescriptors(of: process)
      reader.countState(of: process)
    }
    reader.details.openFilesLimit = openFilesLimit((try? readFile("/proc/\(first)/limits", limit: 8 << 10)) ?? [])
    return reader.details
  }

  /// Those of the cgroups below among them.
  private static func processes(of cgroup: Cgroup) -> [String] {
    var processes: [String] = []
    var rest = [cgroup]
    while let next = rest.popLast(), processes.count < mostProcesses {
      let text = (try? next.read("cgroup.procs")) ?? ""
      processes += text.split(separator: "\n").prefix(mostProcesses - processes.count).map(String.init)
      for entry in (try? directoryEntries(next.path)) ?? [] where entry.isDirectory && rest.count < mostProcesses {
        rest.append(next.child(String(decoding: entry.name, as: UTF8.self)))
      }
    }
    return processes
  }

  private mutating func countDescriptors(of process: String) {
    let directory = "/proc/\(process)/fd"
    guard details.fileDescriptors < Self.mostDescriptors, let stream = opendir(directory) else { return }
    defer { closedir(stream) }
    let prefix = Array("socket:".utf8CString.dropLast())
    var target = [CChar](repeating: 0, count: prefix.count)
    while details.fileDescriptors < Self.mostDescriptors, let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
      guard name.first != UInt8(ascii: ".") else { continue }
      details.fileDescriptors += 1
      let path = "\(directory)/\(String(decoding: name, as: UTF8.self))"
      if readlink(path, &target, target.count) == prefix.count, target == prefix { details.sockets += 1 }
    }
  }

  private mutating func countState(of process: String) {
    switch processState((try? readFile("/proc/\(process)/stat", limit: 4096)) ?? []) {
    case UInt8(ascii: "R"): details.running += 1
    case UInt8(ascii: "S"), UInt8(ascii: "I"): details.sleeping += 1
    case UInt8(ascii: "T"), UInt8(ascii: "t"): details.stopped += 1
    case UInt8(ascii: "D"): details.uninterruptible += 1
    default: break
    }
  }
}

/// The state in /proc/PID/stat: what follows the name, which may hold anything, in parentheses.
func processState(_ stat: [UInt8]) -> UInt8? {
  guard let end = stat.lastIndex(of: UInt8(ascii: ")")), end + 2 < stat.count else { return nil }
  return stat[end + 2]
}

/// The soft limit in the line "Max open files" of /proc/PID/limits; 2^64 - 1 for "unlimited", 0 where there is none.
func openFilesLimit(_ limits: [UInt8]) -> UInt64 {
  let name = Array("Max open files".utf8)
  let line = limits.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: name) }
  guard let word = line?.dropFirst(name.count).split(separator: UInt8(ascii: " ")).first else { return 0 }
  return word.first == UInt8(ascii: "u") ? .max : KernelText.decimal(word)
}
