import Common

/// The pod's sysctls: those that Linux keeps by namespace, which is what a pod may set on a node that it
/// shares. Others stay refused though a virtual machine's kernel is the pod's alone: some of them run
/// programs or take guards down (kernel.core_pattern, kernel.modules_disabled), and a pod that depended on
/// one would run nowhere else.
enum Sysctls {
  private static let names: Set = [
    "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.msgmax",
    "kernel.msgmnb", "kernel.msgmni", "kernel.domainname",
  ]
  private static let families = ["net.", "fs.mqueue."]

  /// By name with dots, as sysctl(8) writes it. Throws `invalidArgument` that names what can't be set.
  static func checked(_ sysctls: [String: String]) throws(BulkheadError) -> [String: String] {
    var result: [String: String] = [:]
    for (key, value) in sysctls.sorted(by: { $0.key < $1.key }) {
      let name = normalized(key)
      try check(name, shownAs: key)
      guard value.utf8.count <= 1024, value.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f || $0 == 0x09 }) else {
        throw Validation.invalid("linux.sysctls", "has a value for \(name) that is no line of text")
      }
      guard result.updateValue(value, forKey: name) == nil else {
        throw Validation.invalid("linux.sysctls", "sets \(name) twice")
      }
    }
    return result
  }

  private static func check(_ name: String, shownAs key: String) throws(BulkheadError) {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    let isName =
      name.utf8.count < 256
      && parts.allSatisfy { part in
        !part.isEmpty && part != "/" && !part.split(separator: "/").contains("..")
          && part.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
      }
    guard isName else {
      throw Validation.invalid("linux.sysctls", "has a name that is none: \(printable(key, limit: 128))")
    }
    guard names.contains(name) || families.contains(where: name.hasPrefix) else {
      throw Validation.invalid(
        "linux.sysctls",
        "can't set \(name): pods may set net.*, fs.mqueue.* and the System V IPC limits (kernel.shm*, kernel.msg*, kernel.sem)"
      )
    }
  }

  /// sysctl.d(5): a name whose first separator is a slash has slashes for dots, and dots for slashes.
  private static func normalized(_ key: String) -> String {
    guard let separator = key.first(where: { $0 == "." || $0 == "/" }), separator == "/" else { return key }
    return String(key.map { $0 == "/" ? "." : $0 == "." ? "/" : $0 })
  }
}
