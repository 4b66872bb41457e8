import Common

/// One column of a list: its title, and what stands in it.
struct Column<Row>: Sendable {
  let title: String
  let alignRight: Bool
  let text: @Sendable (Row) -> String

  init(_ title: String, alignRight: Bool = false, _ text: @escaping @Sendable (Row) -> String) {
    self.title = title
    self.alignRight = alignRight
    self.text = text
  }
}

/// The rows under their titles, in columns two spaces apart. Control characters are escaped, so that
/// no name of a pod or an image can move the cursor or feign a row.
func table<Row>(_ rows: [Row], _ columns: [Column<Row>]) -> [String] {
  let cells = [columns.map(\.title)] + rows.map { row in columns.map { printable($0.text(row), limit: 200) } }
  let widths = columns.indices.map { index in cells.map { displayWidth($0[index]) }.max() ?? 0 }
  return cells.map { row in
    let padded = zip(zip(row, columns), widths).map { cell, width in
      let space = String(repeating: " ", count: width - displayWidth(cell.0))
      return cell.1.alignRight ? space + cell.0 : cell.0 + space
    }
    return trimmingTrailingSpaces(padded.joined(separator: "  "))
  }
}

/// Names and values, the values in one column.
func properties(_ pairs: [(name: String, value: String)], indent: Int = 0) -> [String] {
  let width = pairs.map { displayWidth($0.name) }.max() ?? 0
  let margin = String(repeating: " ", count: indent)
  return pairs.map { pair in
    let space = String(repeating: " ", count: width - displayWidth(pair.name) + 2)
    return trimmingTrailingSpaces(margin + pair.name + space + printable(pair.value))
  }
}

private func trimmingTrailingSpaces(_ line: String) -> String {
  var line = line
  while line.last == " " { line.removeLast() }
  return line
}
