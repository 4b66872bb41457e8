import Common

/// Checks on what a client sends, each refusing with `invalidArgument` that names the field. The kubelet
/// is obeyed in what it wants, not believed in how it says it.
enum Validation {
  static let maximumPath = 4096

  /// Non-empty text without control characters.
  static func name(_ text: String, _ field: String, limit: Int = 253) throws(BulkheadError) -> String {
    guard !text.isEmpty else { throw invalid(field, "is missing") }
    return try optionalName(text, field, limit: limit)
  }

  static func optionalName(_ text: String, _ field: String, limit: Int = 253) throws(BulkheadError) -> String {
    guard text.utf8.count <= limit else { throw invalid(field, "is longer than \(limit) bytes") }
    guard text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f }) else {
      throw invalid(field, "has control characters")
    }
    return text
  }

  /// Empty, or absolute and without `.` or `..` components and NUL.
  static func absolutePath(_ text: String, _ field: String) throws(BulkheadError) -> String {
    if text.isEmpty { return text }
    guard text.hasPrefix("/") else { throw invalid(field, "is not an absolute path: \(printable(text, limit: 128))") }
    return try components(text, field)
  }

  /// Empty, or relative and unable to leave the directory it is relative to.
  static func relativePath(_ text: String, _ field: String) throws(BulkheadError) -> String {
    guard !text.hasPrefix("/") else { throw invalid(field, "must be relative: \(printable(text, limit: 128))") }
    return try components(text, field)
  }

  private static func components(_ text: String, _ field: String) throws(BulkheadError) -> String {
    guard text.utf8.count <= maximumPath else { throw invalid(field, "is longer than \(maximumPath) bytes") }
    guard !text.utf8.contains(0) else { throw invalid(field, "contains a NUL byte") }
    for part in text.split(separator: "/") where part == ".." {
      throw invalid(field, "has a `..` component: \(printable(text, limit: 128))")
    }
    return text
  }

  /// A uid or gid as Kubernetes and runc have it: 0 to 2^31 - 1. Anything else, negative or huge, is refused
  /// and never wraps to root.
  static func userID(_ value: Int64, _ field: String) throws(BulkheadError) -> UInt32 {
    guard let id = Int32(exactly: value), id >= 0 else {
      throw invalid(field, "is not a user or group id (0 to \(Int32.max)): \(value)")
    }
    return UInt32(id)
  }

  /// A TCP port: 1 to 65535.
  static func port(_ value: Int32, _ field: String) throws(BulkheadError) -> UInt16 {
    guard let port = UInt16(exactly: value), port > 0 else { throw invalid(field, "is not 1 to 65535: \(value)") }
    return port
  }

  static func notNegative(_ value: Int64, _ field: String) throws(BulkheadError) -> Int64 {
    guard value >= 0 else { throw invalid(field, "is negative: \(value)") }
    return value
  }

  static func noNUL(_ texts: [String], _ field: String) throws(BulkheadError) -> [String] {
    guard !texts.contains(where: { $0.utf8.contains(0) }) else { throw invalid(field, "contains a NUL byte") }
    return texts
  }

  static func invalid(_ field: String, _ why: String) -> BulkheadError {
    BulkheadError(.invalidArgument, "\(field) \(why)")
  }
}
