import CLinux
import Common
import Foundation
import Hypervisor
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A process, told from a later one with the same number by when it started (in clock ticks since
/// boot, proc(5)).
struct ProcessIdentity: Codable, Sendable, Equatable {
  var pid: Int32
  var startTime: UInt64

  /// Nil if no such process runs.
  init?(pid: Int32) {
    guard let startTime = Self.startTime(pid) else { return nil }
    self.pid = pid
    self.startTime = startTime
  }

  /// Sends a signal to exactly this process; false if it has gone.
  @discardableResult
  func signal(_ number: Int32) -> Bool {
    let descriptor = bh_pidfd_open(pid)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    // Only now is it certain that the descriptor is not another's.
    guard Self.startTime(pid) == startTime else { return false }
    return bh_pidfd_send_signal(descriptor, number) == 0
  }

  /// The processes whose command line, program first, `matches`.
  static func running(where matches: ([ArraySlice<UInt8>]) -> Bool) -> [ProcessIdentity] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { Int32($0) }.compactMap { pid in
      guard let bytes = try? readFile("/proc/\(pid)/cmdline", limit: 64 << 10) else { return nil }
      return matches(bytes.split(separator: 0)) ? ProcessIdentity(pid: pid) : nil
    }
  }

  /// Whether a QEMU of libvirt's runs the machine with this id.
  static func hasQEMU(_ id: MachineID) -> Bool {
    let name = Array("guest=\(id),".utf8)
    return !running { arguments in arguments.contains { $0.starts(with: name) } }.isEmpty
  }

  var isRunning: Bool { Self.startTime(pid) == startTime }

  /// Field 22 of /proc/PID/stat; the name in field 2 may hold anything, so it is counted from the last
  /// parenthesis. Nil for a process that has gone or is a zombie.
  private static func startTime(_ pid: Int32) -> UInt64? {
    guard pid > 0, let bytes = try? readFile("/proc/\(pid)/stat", limit: 4096) else { return nil }
    guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = String(decoding: bytes[(end + 1)...], as: UTF8.self).split(separator: " ")
    guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
    return UInt64(fields[19])
  }

  /// Resident set size.
  static func residentMemory(_ pid: Int32) -> ByteCount {
    guard let bytes = try? readFile("/proc/\(pid)/statm", limit: 256) else { return ByteCount(bytes: 0) }
    let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
    guard fields.count > 1, let pages = UInt64(fields[1]) else { return ByteCount(bytes: 0) }
    return ByteCount(bytes: pages &* UInt64(sysconf(Int32(_SC_PAGESIZE))))
  }
}
