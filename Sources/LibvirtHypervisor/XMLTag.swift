import Common

/// An element of an XML document, of which only valid text can be made: attribute values and text are
/// escaped, and what XML 1.0 cannot say at all (control characters, section 2.2) is refused.
struct XMLTag: Equatable {
  var name: String
  var attributes: [Attribute] = []
  var text = ""
  var children: [XMLTag] = []

  struct Attribute: Equatable {
    var name: String
    var value: String
  }

  init(_ name: String, _ children: [XMLTag]) { self.init(name, [:], children) }

  /// Names are ours and fixed; values may be anything.
  init(
    _ name: String, _ attributes: KeyValuePairs<String, String> = [:], text: String = "", _ children: [XMLTag] = []
  ) {
    self.name = name
    self.attributes = attributes.map { Attribute(name: $0.key, value: $0.value) }
    self.text = text
    self.children = children
  }

  /// Throws `invalidArgument` for a value with a character that XML cannot carry.
  func rendered() throws(BulkheadError) -> String {
    var out = ""
    try render(into: &out)
    return out
  }

  private func render(into out: inout String) throws(BulkheadError) {
    out += "<\(name)"
    for attribute in attributes {
      out += " \(attribute.name)='"
      try escape(attribute.value, into: &out)
      out += "'"
    }
    if text.isEmpty, children.isEmpty {
      out += "/>"
      return
    }
    out += ">"
    try escape(text, into: &out)
    for child in children { try child.render(into: &out) }
    out += "</\(name)>"
  }

  private func escape(_ value: String, into out: inout String) throws(BulkheadError) {
    for scalar in value.unicodeScalars {
      switch scalar {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "'": out += "&apos;"
      case "\"": out += "&quot;"
      // As references, or a parser would turn them into spaces (section 3.3.3).
      case "\t", "\n", "\r": out += "&#\(scalar.value);"
      case "\u{0}"..."\u{1f}", "\u{7f}", "\u{fffe}", "\u{ffff}":
        throw BulkheadError(
          .invalidArgument, "\"\(printable(value))\" has a character that a virtual machine's description cannot carry")
      default: out.unicodeScalars.append(scalar)
      }
    }
  }
}
