import CLinux
import Common
import Foundation
import LinuxSystem

/// A pod's cgroup on the host: holds the processes of its VM, so that what the kubelet grants the pod limits
/// them. The same path in each hierarchy. All calls block, and can be repeated after any failure.
public struct PodCgroup: Sendable {
  public let path: CgroupPath
  private let hierarchies: [CgroupHierarchy]

  /// Throws where the node has no cgroups.
  public init(_ path: CgroupPath) throws {
    self.path = path
    hierarchies = try CgroupHierarchy.mounted()
    guard !hierarchies.isEmpty else {
      throw BulkheadError(
        .failedPrecondition, "no cgroup hierarchy is mounted on this node: mount cgroup2 on /sys/fs/cgroup")
    }
  }

  /// Makes it, and what is missing above it.
  public func create() throws {
    for hierarchy in hierarchies {
      do { try create(in: hierarchy) } catch {
        throw BulkheadError(
          .failedPrecondition, "cannot make cgroup \(path) in \(hierarchy.mountPoint)", cause: error)
      }
    }
  }

  private func create(in hierarchy: CgroupHierarchy) throws {
    // A pod that ends beside may remove a parent between two steps.
    for attempt in 0... {
      do {
        for level in path.levels { try make(hierarchy.mountPoint + level, hierarchy) }
        return
      } catch let error as SystemError where error.number == ENOENT && attempt < 10 {}
    }
  }

  private func make(_ directory: String, _ hierarchy: CgroupHierarchy) throws {
    if mkdir(directory, 0o755) == 0 {
      // Marked as ours to remove. A file system that takes no marks keeps the empty directory.
      _ = bh_setxattr(directory, Self.mark, "1", 1)
    } else if errno != EEXIST {
      throw SystemError("mkdir", errno, subject: directory)
    }
    if hierarchy.controllers.contains("cpuset") { try inheritCPUs(directory) }
  }

  private static let mark = "trusted.bulkhead"

  /// A v1 cpuset begins empty, and takes no process before it has CPUs and memory (cpuset(7)).
  private func inheritCPUs(_ directory: String) throws {
    let parent = directory.split(separator: "/").dropLast().map { "/\($0)" }.joined()
    for file in ["cpuset.cpus", "cpuset.mems"] {
      let own = try String(contentsOfFile: "\(directory)/\(file)", encoding: .utf8)
      guard own.allSatisfy(\.isWhitespace) else { continue }
      try write(try String(contentsOfFile: "\(parent)/\(file)", encoding: .utf8), to: "\(directory)/\(file)")
    }
  }

  /// Moves processes, with the children that they have, into it. One that has gone is no failure.
  public func add(_ processes: [Int32]) throws {
    for process in processes.flatMap(withDescendants) {
      for hierarchy in hierarchies {
        let file = "\(hierarchy.mountPoint)\(path)/cgroup.procs"
        do { try write("\(process)", to: file) } catch  where error.number == ESRCH {} catch {
          throw BulkheadError(.failedPrecondition, "cannot put the pod's processes into cgroup \(path)", cause: error)
        }
      }
    }
  }

  private func withDescendants(_ process: Int32) -> [Int32] {
    [process] + Self.children(process).flatMap(withDescendants)
  }

  /// From the threads' `children`, or where the kernel is built without those from everybody's parent (proc(5)).
  private static func children(_ process: Int32) -> [Int32] {
    let threads = "/proc/\(process)/task"
    let lists = names(threads).map { try? String(contentsOfFile: "\(threads)/\($0)/children", encoding: .utf8) }
    if lists.contains(where: { $0 != nil }) {
      return lists.flatMap { ($0 ?? "").split(whereSeparator: \.isWhitespace).compactMap { Int32($0) } }
    }
    return names("/proc").compactMap { Int32($0) }.filter { parent($0) == process }
  }

  /// Field 4 of /proc/PID/stat, counted from the last parenthesis, as the name in field 2 may hold anything.
  private static func parent(_ process: Int32) -> Int32? {
    guard let stat = FileManager.default.contents(atPath: "/proc/\(process)/stat") else { return nil }
    let fields = String(decoding: stat, as: UTF8.self).split(separator: ")").last?.split(separator: " ")
    return fields.flatMap { $0.count > 1 ? Int32($0[1]) : nil }
  }

  private static func names(_ directory: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
  }

  /// Removes it, and of what is above it the empty ones that `create` made. One that is gone is no failure.
  public func remove() throws {
    for hierarchy in hierarchies {
      var levels = path.levels
      guard let own = levels.popLast() else { continue }
      try removeOwn(hierarchy.mountPoint + own)
      while let level = levels.popLast() {
        let directory = hierarchy.mountPoint + level
        guard bh_getxattr(directory, Self.mark, nil, 0) >= 0, rmdir(directory) == 0 else { break }
      }
    }
  }

  /// Processes that were killed stay in it for moments.
  private func removeOwn(_ directory: String) throws {
    for _ in 0..<400 {
      if rmdir(directory) == 0 || errno == ENOENT { return }
      guard errno == EBUSY else { break }
      usleep(5000)
    }
    throw SystemError("rmdir", errno, subject: directory)
  }

  private func write(_ text: String, to path: String) throws(SystemError) {
    let file = try systemCall("open", subject: path) { open(path, O_WRONLY | O_CLOEXEC) }
    defer { close(file) }
    let bytes = Array(text.utf8)
    try systemCall("write", subject: path) { Foundation.write(file, bytes, bytes.count) }
  }
}
