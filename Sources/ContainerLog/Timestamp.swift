import Glibc

/// Times of log lines: RFC 3339 in UTC with nine digits after the point, as `2026-01-31T23:59:59.000000001Z`.
/// Written by hand because a line is written for every line of every container.
public enum LogTimestamp {
  /// Nanoseconds since 1970, from the system's clock.
  public static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }

  /// The 30 bytes of a time since 1970, in nanoseconds.
  public static func bytes(_ nanoseconds: Int64) -> [UInt8] {
    let (days, inDay) = floorDivide(nanoseconds, 86_400_000_000_000)
    let date = civilDate(days)
    var out = Array("0000-00-00T00:00:00.000000000Z".utf8)
    put(date.year, digits: 4, at: 0, in: &out)
    put(date.month, digits: 2, at: 5, in: &out)
    put(date.day, digits: 2, at: 8, in: &out)
    let seconds = inDay / 1_000_000_000
    put(seconds / 3600, digits: 2, at: 11, in: &out)
    put(seconds / 60 % 60, digits: 2, at: 14, in: &out)
    put(seconds % 60, digits: 2, at: 17, in: &out)
    put(inDay % 1_000_000_000, digits: 9, at: 20, in: &out)
    return out
  }

  /// Any RFC 3339 time, with or without a fraction, with an offset or Z; nil if it is none, or none
  /// that nanoseconds in 64 bits can hold.
  public static func parse(_ text: some Sequence<UInt8>) -> Int64? {
    var rest = Array(text)[...]
    guard let year = number(4, &rest), take("-", &rest), let month = number(2, &rest), take("-", &rest),
      let day = number(2, &rest), take("T", &rest) || take("t", &rest) || take(" ", &rest),
      let hour = number(2, &rest), take(":", &rest), let minute = number(2, &rest), take(":", &rest),
      let second = number(2, &rest), let fraction = fraction(&rest), let offset = offset(&rest), rest.isEmpty,
      (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60,
      (1700...2250).contains(year)
    else { return nil }
    let seconds = daysSince1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    return seconds * 1_000_000_000 + fraction
  }

  // MARK: - Dates

  // The proleptic Gregorian calendar counted from 1 March, so that the leap day ends a year
  // (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms"). An era is 400 years, 146097 days.

  private static func civilDate(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let (era, dayOfEra) = floorDivide(days + 719_468, 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
  }

  private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let (era, yearOfEra) = floorDivide(month <= 2 ? year - 1 : year, 400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func floorDivide(_ value: Int64, _ divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }

  // MARK: - Digits

  private static func put(_ value: Int64, digits: Int, at start: Int, in out: inout [UInt8]) {
    var value = value
    for index in stride(from: start + digits - 1, through: start, by: -1) {
      out[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10)
      value /= 10
    }
  }

  private static func take(_ character: Unicode.Scalar, _ rest: inout ArraySlice<UInt8>) -> Bool {
    guard rest.first == UInt8(ascii: character) else { return false }
    rest.removeFirst()
    return true
  }

  private static func number(_ digits: Int, _ rest: inout ArraySlice<UInt8>) -> Int64? {
    guard rest.count >= digits else { return nil }
    var value: Int64 = 0
    for byte in rest.prefix(digits) {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
      value = value * 10 + Int64(byte - UInt8(ascii: "0"))
    }
    rest.removeFirst(digits)
    return value
  }

  /// Nanoseconds; digits past the ninth are cut.
  private static func fraction(_ rest: inout ArraySlice<UInt8>) -> Int64? {
    guard take(".", &rest) else { return 0 }
    var value: Int64 = 0
    var count = 0
    while let digit = number(1, &rest) {
      if count < 9 { value = value * 10 + digit }
      count += 1
    }
    guard count > 0 else { return nil }
    for _ in min(count, 9)..<9 { value *= 10 }
    return value
  }

  /// Seconds east of UTC.
  private static func offset(_ rest: inout ArraySlice<UInt8>) -> Int64? {
    if take("Z", &rest) || take("z", &rest) { return 0 }
    let sign: Int64
    if take("+", &rest) { sign = 1 } else if take("-", &rest) { sign = -1 } else { return nil }
    guard let hours = number(2, &rest), take(":", &rest), let minutes = number(2, &rest), hours < 24, minutes < 60
    else { return nil }
    return sign * (hours * 3600 + minutes * 60)
  }
}
