import Common

extension ValueForm where Value == [ResourceLimit] {
  /// A list of "name=soft:hard".
  static func resourceLimits() -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        var limits: [ResourceLimit] = []
        for text in try strings(node) {
          let limit = try resourceLimit(text)
          guard !limits.contains(where: { $0.name == limit.name }) else { throw BadValue("\(limit.name) stands twice") }
          limits.append(limit)
        }
        return limits
      },
      write: { limits in
        "[" + limits.map { "\"\($0.name)=\(bound($0.soft)):\(bound($0.hard))\"" }.joined(separator: ", ") + "]"
      })
  }
}

/// The names of setrlimit(2), without RLIMIT_.
private let resourceLimitNames = [
  "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
  "rttime", "sigpending", "stack",
]

private func bound(_ value: UInt64) -> String { value == ResourceLimit.unlimited ? "unlimited" : "\(value)" }

private func resourceLimit(_ text: String) throws(BadValue) -> ResourceLimit {
  let shown = printable(text)
  let parts = text.split(separator: "=", omittingEmptySubsequences: false)
  let bounds = parts.count == 2 ? parts[1].split(separator: ":", omittingEmptySubsequences: false) : []
  guard bounds.count == 2 else { throw BadValue("\"\(shown)\" is not of the form name=soft:hard") }
  guard resourceLimitNames.contains(String(parts[0])) else {
    throw BadValue("\"\(shown)\": no such limit; there are \(resourceLimitNames.joined(separator: ", "))")
  }
  let values = bounds.map { $0 == "unlimited" ? ResourceLimit.unlimited : UInt64($0) }
  guard let soft = values[0], let hard = values[1] else {
    throw BadValue("\"\(shown)\": a bound is a number or unlimited")
  }
  guard soft <= hard else { throw BadValue("\"\(shown)\": the soft limit is above the hard one") }
  return ResourceLimit(name: String(parts[0]), soft: soft, hard: hard)
}
