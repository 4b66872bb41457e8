import CNI
import Foundation

/// A directory of the test's own, gone with it.
final class Scratch {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("cni-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
  }

  /// A shell script as a plugin.
  func plugin(_ name: String, _ script: String) throws {
    try write(name, "#!/bin/sh\n\(script)\n")
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(path)/\(name)")
  }

  func text(_ name: String) -> String { (try? String(contentsOfFile: "\(path)/\(name)", encoding: .utf8)) ?? "" }

  /// What the plugins of `recording` wrote down, one call after the other.
  var calls: [[String: String]] {
    text("calls").split(separator: "\n").map { line in
      Dictionary(
        line.split(separator: "|").compactMap { field in
          let parts = field.split(separator: "=", maxSplits: 1)
          return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
        }, uniquingKeysWith: { $1 })
    }
  }

  /// A plugin that writes down each call and its configuration, and prints `result`.
  func recording(_ name: String, result: String = "") throws {
    try plugin(
      name,
      """
      read -r config
      echo "name=\(name)|command=$CNI_COMMAND|id=$CNI_CONTAINERID|netns=$CNI_NETNS|ifname=$CNI_IFNAME|args=$CNI_ARGS|config=$config" >> \(path)/calls
      [ $CNI_COMMAND = ADD ] && echo '\(result)'
      exit 0
      """)
  }

  func runner(deadline: Duration = .seconds(10)) -> PluginRunner {
    PluginRunner(directories: ["/nowhere", path], deadline: deadline)
  }
}

func network(_ text: String) throws -> NetworkConfiguration {
  try NetworkConfiguration(Data(text.utf8), isList: true)
}

func request(_ capabilities: [String: JSONValue] = [:]) throws -> AttachmentRequest {
  try AttachmentRequest(
    containerID: "c1", namespace: "/proc/self/ns/net", interface: "eth0", pod: ("space", "name", "uid"),
    capabilities: capabilities)
}
