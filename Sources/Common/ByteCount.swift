/// A number of bytes, so that a size is never taken for a count of blocks or MiB.
public struct ByteCount: Hashable, Sendable, Comparable, CustomStringConvertible {
  public var bytes: UInt64

  public init(bytes: UInt64) { self.bytes = bytes }
  public static func mebibytes(_ count: UInt64) -> ByteCount { ByteCount(bytes: count << 20) }
  public static func gibibytes(_ count: UInt64) -> ByteCount { ByteCount(bytes: count << 30) }
  /// Rounded up.
  public var mebibytes: UInt64 { (bytes + (1 << 20) - 1) >> 20 }

  public static func < (a: ByteCount, b: ByteCount) -> Bool { a.bytes < b.bytes }

  /// With a binary unit and one digit after the point: "1.5 GiB".
  public var description: String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = Double(bytes)
    var unit = 0
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    if unit == 0 { return "\(bytes) B" }
    let tenths = (value * 10).rounded()
    return "\(Int(tenths) / 10).\(Int(tenths) % 10) \(units[unit])"
  }
}
