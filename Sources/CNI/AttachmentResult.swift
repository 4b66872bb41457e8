import Common

/// What ADD answered, in the form of the network's version, unknown keys and all: it is passed on from plugin
/// to plugin, and back to them with CHECK and DEL.
public struct AttachmentResult: Sendable, Codable, Equatable {
  var keys: [String: JSONValue]

  /// An interface that plugins made.
  public struct Interface: Sendable, Equatable {
    public var name: String
    /// The path of the network namespace it is in; empty: the host's.
    public var sandbox: String
  }

  /// Takes what a plugin printed. Throws `internalError` where it is no result of `version`, or of another
  /// that can be turned into it.
  init(_ document: JSONValue, for version: SpecificationVersion) throws(BulkheadError) {
    guard var keys = document.object else { throw rubbish("it is not a JSON object") }
    let written = keys["cniVersion"]?.string ?? version.rawValue
    guard let own = SpecificationVersion(rawValue: written) else {
      throw rubbish("its cniVersion is \"\(printable(written, limit: 32))\"")
    }
    for list in ["interfaces", "ips", "routes"] where ![nil, .null].contains(keys[list]) && keys[list]?.array == nil {
      throw rubbish("its \(list) are no list")
    }
    if own != version { Self.convert(&keys, to: version) }
    keys["cniVersion"] = .string(version.rawValue)
    self.keys = keys
  }

  /// An attachment whose plugins print nothing has made nothing that anybody can name.
  static func empty(_ version: SpecificationVersion) -> AttachmentResult {
    AttachmentResult(keys: ["cniVersion": .string(version.rawValue)])
  }

  private init(keys: [String: JSONValue]) { self.keys = keys }

  /// Until 1.0.0 an address said its family. Other keys that a version does not know do it no harm.
  private static func convert(_ keys: inout [String: JSONValue], to version: SpecificationVersion) {
    guard let addresses = keys["ips"]?.array else { return }
    keys["ips"] = .array(
      addresses.map { entry in
        guard var entry = entry.object else { return entry }
        let isIPv6 = entry["address"]?.string?.contains(":") == true
        entry["version"] = version < .v1_0_0 ? .string(isIPv6 ? "6" : "4") : nil
        return .object(entry)
      })
  }

  public var interfaces: [Interface] {
    (keys["interfaces"]?.array ?? []).compactMap { entry in
      guard let name = entry["name"]?.string else { return nil }
      return Interface(name: name, sandbox: entry["sandbox"]?.string ?? "")
    }
  }

  /// As the plugins gave them, with prefix length: "192.0.2.7/24".
  public var addresses: [String] { (keys["ips"]?.array ?? []).compactMap { $0["address"]?.string } }
}

func rubbish(_ why: String) -> BulkheadError { BulkheadError(.internalError, "it printed no result: \(why)") }
