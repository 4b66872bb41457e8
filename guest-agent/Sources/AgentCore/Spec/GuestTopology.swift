import AgentProtocol
import GRPCCore
import Glibc

/// The processors and memory nodes that the VM has: what a cpuset can name. The kernel itself takes those
/// that are merely possible, and a container would then run elsewhere than it was told to.
struct GuestTopology: Sendable {
  var cpus: [ClosedRange<UInt32>]
  var memoryNodes: [ClosedRange<UInt32>]

  /// Blocks. A kernel without memory nodes has one, 0.
  static func read() -> GuestTopology {
    GuestTopology(
      cpus: online("/sys/devices/system/cpu/online"), memoryNodes: online("/sys/devices/system/node/online"))
  }

  private static func online(_ path: String) -> [ClosedRange<UInt32>] {
    let text = (try? readFile(path, limit: 4096)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    return numberRanges(text.prefix { $0 != "\n" }) ?? [0...0]
  }

  /// Throws INVALID_ARGUMENT that says what there is.
  func check(_ resources: Bulkhead_Agent_V1_Resources) throws {
    try check(resources.cpusetCpus, cpus, "cpuset_cpus", "CPUs")
    try check(resources.cpusetMems, memoryNodes, "cpuset_mems", "memory nodes")
  }

  private func check(_ text: String, _ there: [ClosedRange<UInt32>], _ field: String, _ what: String) throws {
    if text.isEmpty { return }
    guard text.utf8.count < 4096, let asked = numberRanges(text[...]) else {
      throw invalid("\(field): \"\(text.prefix(64))\" is not a list like 0-3,6")
    }
    for range in asked where !there.contains(where: { $0.contains(range.lowerBound) && $0.contains(range.upperBound) })
    {
      throw invalid("\(field): \"\(text.prefix(64))\" names \(what) that the pod's VM has not; it has \(shown(there))")
    }
  }

  private func shown(_ ranges: [ClosedRange<UInt32>]) -> String {
    ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
  }
}

/// A list as cpuset(7) has it, "0-3,6"; nil if it isn't one. Adjacent ranges become one.
func numberRanges(_ text: Substring) -> [ClosedRange<UInt32>]? {
  var ranges: [ClosedRange<UInt32>] = []
  for part in text.split(separator: ",", omittingEmptySubsequences: false) {
    let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    // UInt32's own parser would take a sign.
    guard part.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2d }) else { return nil }
    guard let first = ends.first.flatMap({ UInt32($0) }), let last = ends.last.flatMap({ UInt32($0) }), first <= last
    else { return nil }
    if let before = ranges.last, before.upperBound != .max, before.upperBound + 1 == first {
      ranges[ranges.count - 1] = before.lowerBound...last
    } else {
      ranges.append(first...last)
    }
  }
  return ranges.isEmpty ? nil : ranges
}
