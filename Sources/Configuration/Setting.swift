import TOMLKit

/// One key of the file: its name, what it means, and how it is read and written. The parser, the
/// printed default and the tests all go by `all`, so none of them can know a key that another doesn't.
struct Setting: Sendable {
  let section: String
  let name: String
  /// For operators; wrapped where it is printed.
  let documentation: String
  /// The value of this key as TOML; nil where it is not set and has no default of its own.
  let write: @Sendable (Configuration) -> String?
  /// What to print, commented out, where `write` gives nil.
  let example: String
  let read: @Sendable (any TOMLValueConvertible, inout Configuration) throws(BadValue) -> Void

  var key: String { "\(section).\(name)" }
}

/// Why a value is refused, as the end of the sentence "vm.memory: ...".
struct BadValue: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

/// How values of one type are read, checked and written.
struct ValueForm<Value: Sendable>: Sendable {
  let read: @Sendable (any TOMLValueConvertible) throws(BadValue) -> Value
  let write: @Sendable (Value) -> String
}

typealias Field<Value> = WritableKeyPath<Configuration, Value> & Sendable

extension Setting {
  /// A key whose default is the value in `Configuration()`.
  static func value<Value>(
    _ section: String, _ name: String, _ field: any Field<Value>, _ form: ValueForm<Value>, _ documentation: String
  ) -> Setting {
    Setting(
      section: section, name: name, documentation: documentation,
      write: { form.write($0[keyPath: field]) }, example: "",
      read: { (node, configuration) throws(BadValue) in configuration[keyPath: field] = try form.read(node) })
  }

  /// A key that may be absent; `example` is shown in its place.
  static func optional<Value>(
    _ section: String, _ name: String, _ field: any Field<Value?>, _ form: ValueForm<Value>, example: Value,
    _ documentation: String
  ) -> Setting {
    Setting(
      section: section, name: name, documentation: documentation,
      write: { $0[keyPath: field].map(form.write) }, example: form.write(example),
      read: { (node, configuration) throws(BadValue) in configuration[keyPath: field] = try form.read(node) })
  }
}
