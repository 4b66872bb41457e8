import Foundation

/// A row that can be printed in every form: as a line of a table, as a JSON object, by its id alone.
protocol ListRow: Encodable, Sendable {
  var id: String { get }
  static var columns: [Column<Self>] { get }
}

extension Output {
  /// A list as the user asked for it. JSON is an array of objects; nothing at all is "[]".
  func print<Row: ListRow>(_ rows: [Row], as format: OutputFormat, quiet: Bool = false) throws {
    switch (format, quiet) {
    case (_, true): try write(rows.map { $0.id + "\n" }.joined())
    case (.json, _): try print(json: rows)
    case (.table, _): try print(table(rows, Row.columns))
    }
  }

  func print(json value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // Foundation pretty-prints an empty list over three lines.
    let text = String(decoding: try encoder.encode(value), as: UTF8.self)
    try write((text.allSatisfy { "[]".contains($0) || $0.isWhitespace } ? "[]" : text) + "\n")
  }

  func print(_ lines: [String]) throws { try write(lines.map { $0 + "\n" }.joined()) }
}
