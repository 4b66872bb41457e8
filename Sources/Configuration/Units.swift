import Common

/// Numbers with a unit, as the file has them: "256MiB", "60s".
struct Units: Sendable {
  let what: String
  /// The largest unit first; the last is 1.
  let factors: [(unit: String, factor: UInt64)]

  static let bytes = Units(
    what: "size", factors: [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
  static let milliseconds = Units(
    what: "duration", factors: [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)])

  func parse(_ text: String) throws(BadValue) -> UInt64 {
    let digits = text.prefix { ("0"..."9").contains($0) }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }
    let units = factors.map(\.unit).reversed().joined(separator: ", ")
    guard !digits.isEmpty, let factor = factors.first(where: { $0.unit == unit })?.factor else {
      throw BadValue("\"\(printable(text))\" is no \(what): write a whole number and one of \(units)")
    }
    guard let number = UInt64(digits), case (let value, false) = number.multipliedReportingOverflow(by: factor) else {
      throw BadValue("\"\(printable(text))\" is too large")
    }
    return value
  }

  /// With the largest unit that divides it.
  func format(_ value: UInt64) -> String {
    let fitting = factors.first { value != 0 && value % $0.factor == 0 } ?? factors[factors.count - 1]
    return "\(value / fitting.factor)\(fitting.unit)"
  }
}
