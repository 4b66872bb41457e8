import Common
import FoundationEssentials

/// A network as a file in the configuration directory describes it: a name and the plugins to run, in order
/// (CNI specification, "Network configuration format").
public struct NetworkConfiguration: Sendable, Codable, Equatable {
  public var name: String
  public var version: SpecificationVersion
  public var disableCheck: Bool
  public var disableGC: Bool
  public var plugins: [PluginConfiguration]

  /// A plugin's part, with every key that stood there.
  public struct PluginConfiguration: Sendable, Codable, Equatable {
    /// The name of its executable.
    public var type: String
    public var keys: [String: JSONValue]

    /// Whether it wants this of what the runtime knows (`capabilities`).
    func declares(_ capability: String) -> Bool { keys["capabilities"]?[capability]?.bool == true }
  }
}

extension NetworkConfiguration {
  /// Parses a list (`.conflist`) or, where `isList` is false, the configuration of one plugin.
  /// Throws `invalidArgument` that says what is wrong.
  public init(_ data: Data, isList: Bool) throws(BulkheadError) {
    let document: JSONValue
    do { document = try JSONDecoder().decode(JSONValue.self, from: data) } catch {
      throw invalid("it is not JSON")
    }
    guard let keys = document.object else { throw invalid("it is not a JSON object") }
    guard let name = keys["name"]?.string, isName(name) else {
      throw invalid("its name is missing, or not letters, digits, \".\", \"_\" and \"-\"")
    }
    self.name = name
    version = try Self.version(keys)
    disableCheck = keys["disableCheck"]?.bool ?? (keys["disableCheck"]?.string == "true")
    disableGC = keys["disableGC"]?.bool ?? (keys["disableGC"]?.string == "true")
    guard isList else {
      plugins = [try Self.plugin(.object(keys))]
      return
    }
    guard let entries = keys["plugins"]?.array, !entries.isEmpty else { throw invalid("it has no list of plugins") }
    guard entries.count <= 32 else { throw invalid("it has more than 32 plugins") }
    var plugins: [PluginConfiguration] = []
    for entry in entries { plugins.append(try Self.plugin(entry)) }
    self.plugins = plugins
  }

  /// The highest that both sides know of `cniVersions`, else `cniVersion`.
  private static func version(_ keys: [String: JSONValue]) throws(BulkheadError) -> SpecificationVersion {
    let offered = (keys["cniVersions"]?.array ?? []).compactMap { $0.string.flatMap(SpecificationVersion.init) }
    if let best = offered.max() { return best }
    let written = keys["cniVersion"]?.string ?? ""
    guard let version = SpecificationVersion(rawValue: written) else {
      let known = SpecificationVersion.allCases.map(\.rawValue).joined(separator: ", ")
      throw invalid("its cniVersion is \"\(printable(written, limit: 32))\"; this runtime speaks \(known)")
    }
    return version
  }

  private static func plugin(_ entry: JSONValue) throws(BulkheadError) -> PluginConfiguration {
    guard let keys = entry.object, let type = keys["type"]?.string, isName(type) else {
      throw invalid("a plugin's type is missing, or no name of an executable")
    }
    return PluginConfiguration(type: type, keys: keys)
  }
}

/// As the specification has names: they become file names, here and in plugins.
func isName(_ text: String) -> Bool {
  guard let first = text.utf8.first, text.utf8.count <= 255, isAlphanumeric(first) else { return false }
  return text.utf8.allSatisfy {
    isAlphanumeric($0) || [UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-")].contains($0)
  }
}

private func isAlphanumeric(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"):
    true
  default: false
  }
}

private func invalid(_ why: String) -> BulkheadError { BulkheadError(.invalidArgument, why) }
