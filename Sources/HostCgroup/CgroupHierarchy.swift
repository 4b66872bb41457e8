import Foundation

/// One of the node's cgroup hierarchies: with v2 there is one, with v1 one for each controller or few.
struct CgroupHierarchy: Sendable, Equatable {
  var mountPoint: String
  /// v1: what it is for. Empty for v2.
  var controllers: [String]

  /// Those that are mounted here, from the text of /proc/self/mountinfo (proc(5)).
  static func all(mountinfo: String) -> [CgroupHierarchy] {
    var seen: Set<Substring> = []
    return mountinfo.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      guard let dash = words.firstIndex(of: "-"), dash >= 6, words.count > dash + 3 else { return nil }
      let type = words[dash + 1]
      // One that is mounted twice, or is a part of another, is looked at once.
      guard type == "cgroup" || type == "cgroup2", words[3] == "/", seen.insert(words[2]).inserted else { return nil }
      let options = words[dash + 3].split(separator: ",").map(String.init)
      let controllers = type == "cgroup2" ? [] : options.filter { $0 != "rw" && $0 != "ro" }
      return CgroupHierarchy(mountPoint: unescaped(words[4]), controllers: controllers)
    }
  }

  static func mounted() throws -> [CgroupHierarchy] {
    all(mountinfo: try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8))
  }

  /// Spaces and the like stand as \040 there.
  private static func unescaped(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      let digits = String(decoding: rest.prefix(3), as: UTF8.self)
      if byte == UInt8(ascii: "\\"), let value = UInt8(digits, radix: 8) {
        bytes.append(value)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
