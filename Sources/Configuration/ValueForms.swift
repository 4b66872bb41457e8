import Common
import TOMLKit

extension ValueForm where Value == String {
  /// An absolute path without `.` and `..`, of at most `limit` bytes.
  static func path(limit: Int = 4095) -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in try checkedPath(try text(node), limit: limit) }, write: quoted)
  }
}

extension ValueForm where Value == [String] {
  static func paths() -> ValueForm {
    .list { (text) throws(BadValue) in try checkedPath(text, limit: 4095) }
  }

  static func texts() -> ValueForm {
    .list { (text) throws(BadValue) in
      guard !text.isEmpty else { throw BadValue("an empty string in the list") }
      return text
    }
  }

  private static func list(_ check: @escaping @Sendable (String) throws(BadValue) -> String) -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        var values: [String] = []
        for text in try strings(node) { values.append(try check(text)) }
        return values
      },
      write: { "[" + $0.map(quoted).joined(separator: ", ") + "]" })
  }
}

extension ValueForm where Value == Bool {
  static func flag() -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        guard let flag = node.bool else { throw BadValue("expected true or false, not \(described(node))") }
        return flag
      }, write: { "\($0)" })
  }
}

extension ValueForm where Value: FixedWidthInteger {
  static func integer(_ range: ClosedRange<Int64>) -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        guard let number = node.int else { throw BadValue("expected a number, not \(described(node))") }
        guard range.contains(Int64(number)), let value = Value(exactly: number) else {
          throw BadValue("\(number) is out of range (\(range.lowerBound) to \(range.upperBound))")
        }
        return value
      }, write: { "\($0)" })
  }
}

extension ValueForm where Value == Bool {
  static func boolean() -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        guard let value = node.bool else { throw BadValue("expected true or false, not \(described(node))") }
        return value
      }, write: { $0 ? "true" : "false" })
  }
}

extension ValueForm where Value == String {
  /// One line of text that is not empty.
  static func line() -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        let line = try text(node)
        guard !line.isEmpty else { throw BadValue("an empty string") }
        return line
      }, write: quoted)
  }
}

extension ValueForm where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  static func choice() -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        let word = try text(node)
        if let value = Value(rawValue: word) { return value }
        let words = Value.allCases.map(\.rawValue)
        throw BadValue("\"\(printable(word))\" is none of \(words.joined(separator: ", "))")
      }, write: { quoted($0.rawValue) })
  }
}

extension ValueForm where Value == ByteCount {
  static func size(_ range: ClosedRange<ByteCount>) -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        let value = ByteCount(bytes: try Units.bytes.parse(try text(node)))
        guard range.contains(value) else {
          let bounds = "\(Units.bytes.format(range.lowerBound.bytes)) to \(Units.bytes.format(range.upperBound.bytes))"
          throw BadValue("\(Units.bytes.format(value.bytes)) is out of range (\(bounds))")
        }
        return value
      }, write: { quoted(Units.bytes.format($0.bytes)) })
  }
}

extension ValueForm where Value == Duration {
  /// Bounds in milliseconds.
  static func duration(_ range: ClosedRange<UInt64>) -> ValueForm {
    ValueForm(
      read: { (node) throws(BadValue) in
        let value = try Units.milliseconds.parse(try text(node))
        guard range.contains(value) else {
          let bounds =
            "\(Units.milliseconds.format(range.lowerBound)) to \(Units.milliseconds.format(range.upperBound))"
          throw BadValue("\(Units.milliseconds.format(value)) is out of range (\(bounds))")
        }
        return .milliseconds(Int64(value))
      },
      write: { duration in
        let (seconds, attoseconds) = duration.components
        return quoted(Units.milliseconds.format(UInt64(seconds) * 1000 + UInt64(attoseconds / 1_000_000_000_000_000)))
      })
  }
}

/// A TOML basic string. Control characters can't occur: no form lets one in.
private func quoted(_ text: String) -> String {
  "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
}

private func text(_ node: any TOMLValueConvertible) throws(BadValue) -> String {
  guard let text = node.string else { throw BadValue("expected a string in quotes, not \(described(node))") }
  guard text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f }) else {
    throw BadValue("control characters are not allowed")
  }
  return text
}

func strings(_ node: any TOMLValueConvertible) throws(BadValue) -> [String] {
  guard let array = node.array else { throw BadValue("expected a list of strings, not \(described(node))") }
  var values: [String] = []
  for index in 0..<array.count { values.append(try text(array[index])) }
  return values
}

private func described(_ node: any TOMLValueConvertible) -> String {
  switch node.type {
  case .string: "a string"
  case .bool: "a boolean"
  case .int: "a number"
  case .array: "a list"
  default: "a \(node.type)"
  }
}

private func checkedPath(_ path: String, limit: Int) throws(BadValue) -> String {
  guard path.hasPrefix("/") else { throw BadValue("\"\(printable(path))\" is not an absolute path") }
  guard path.utf8.count <= limit else { throw BadValue("the path is longer than \(limit) bytes") }
  let parts = path.split(separator: "/")
  guard !parts.isEmpty, !parts.contains("."), !parts.contains("..") else {
    throw BadValue("\"\(printable(path))\": write the path without \".\" and \"..\"")
  }
  return "/" + parts.joined(separator: "/")
}
