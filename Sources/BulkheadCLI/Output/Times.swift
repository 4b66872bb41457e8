import ContainerLog

/// RFC 3339; empty for a time that is not known.
func timestamp(_ nanoseconds: Int64) -> String {
  nanoseconds == 0 ? "" : String(decoding: LogTimestamp.bytes(nanoseconds), as: UTF8.self)
}

/// How long ago, in one or two units: "42s", "7m", "3h12m", "5d4h".
func age(_ nanoseconds: Int64, now: Int64) -> String {
  guard nanoseconds != 0 else { return "-" }
  let seconds = max(0, (now - nanoseconds) / 1_000_000_000)
  switch seconds {
  case ..<60: return "\(seconds)s"
  case ..<3600: return "\(seconds / 60)m"
  case ..<86400: return two(seconds / 3600, "h", seconds / 60 % 60, "m")
  default: return two(seconds / 86400, "d", seconds / 3600 % 24, "h")
  }
}

private func two(_ large: Int64, _ largeUnit: String, _ small: Int64, _ smallUnit: String) -> String {
  small == 0 ? "\(large)\(largeUnit)" : "\(large)\(largeUnit)\(small)\(smallUnit)"
}

/// Microseconds with three digits or so: "850 µs", "12.3 ms", "1.25 s".
func milliseconds(_ microseconds: UInt64) -> String {
  if microseconds < 1000 { return "\(microseconds) µs" }
  if microseconds < 1_000_000 { return "\(microseconds / 1000).\(microseconds / 100 % 10) ms" }
  let hundredths = microseconds / 10_000
  return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) s"
}
