import Glibc

/// Text in the forms of cgroup v2 and proc(5), which a guest may have made up. Read by bytes: a pod's stats are a
/// hundred such files, and strings of them would be most of the work.
public struct KernelText: Sendable {
  private let bytes: [UInt8]

  public init(_ bytes: [UInt8]) { self.bytes = bytes }
  public init(_ text: String) { bytes = Array(text.utf8) }

  /// The number that the file consists of: 2^64 - 1 for "max", 0 where there is none.
  public var number: UInt64 {
    bytes.first == UInt8(ascii: "m") ? .max : Self.decimal(bytes[...])
  }

  /// The values of lines "key value", in the order of `keys`; 0 for those that are not there.
  public func values(_ keys: [[UInt8]]) -> [UInt64] {
    var values = [UInt64](repeating: 0, count: keys.count)
    bytes.withUnsafeBufferPointer { text in
      var start = 0
      while start < text.count {
        var space = start
        while space < text.count, text[space] != UInt8(ascii: " ") { space += 1 }
        let key = UnsafeBufferPointer(rebasing: text[start..<space])
        var end = space
        while end < text.count, text[end] != UInt8(ascii: "\n") { end += 1 }
        for index in keys.indices where keys[index].count == key.count && Self.same(keys[index], key) {
          values[index] = Self.decimal(UnsafeBufferPointer(rebasing: text[space..<end]))
        }
        start = end + 1
      }
    }
    return values
  }

  private static func same(_ key: [UInt8], _ text: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let base = text.baseAddress else { return key.isEmpty }
    return memcmp(key, base, text.count) == 0
  }

  /// The words of each line.
  public var lines: [[ArraySlice<UInt8>]] {
    bytes.split(separator: UInt8(ascii: "\n")).map { line in
      line.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: ":") }
    }
  }

  public struct PressureLine: Sendable {
    public var isFull: Bool
    /// avg10, avg60, avg300 in hundredths, and total, in this order; 0 where it is missing.
    public var values: [UInt64] = [0, 0, 0, 0]
  }

  /// The lines of a pressure file, "some avg10=0.12 avg60=0.00 avg300=0.00 total=42" (the kernel's psi.rst).
  public var pressure: [PressureLine] {
    var lines: [PressureLine] = []
    var index = 0
    while index < bytes.count {
      var line = PressureLine(isFull: bytes[index] == UInt8(ascii: "f"))
      var seen = 0
      while index < bytes.count, bytes[index] != UInt8(ascii: "\n") {
        index += 1
        guard bytes[index - 1] == UInt8(ascii: "="), seen < line.values.count else { continue }
        let start = index
        while index < bytes.count, bytes[index] > UInt8(ascii: " ") { index += 1 }
        line.values[seen] = Self.decimal(bytes[start..<index])
        seen += 1
      }
      index += 1
      lines.append(line)
    }
    return lines
  }

  /// The digits of `text`, whatever stands before and between them up to a line's or word's end; what is
  /// too large stays at the largest.
  public static func decimal(_ text: some Sequence<UInt8>) -> UInt64 {
    var value: UInt64 = 0
    for byte in text where (0x30...0x39).contains(byte) {
      let (tens, much) = value.multipliedReportingOverflow(by: 10)
      let (sum, more) = tens.addingReportingOverflow(UInt64(byte - 0x30))
      if much || more { return .max }
      value = sum
    }
    return value
  }

  /// The value of a word "key=value" among `words`, decimal points left out.
  public static func value(_ key: String, _ words: [ArraySlice<UInt8>]) -> UInt64 {
    let prefix = Array("\(key)=".utf8)
    return words.first { $0.starts(with: prefix) }.map { decimal($0.dropFirst(prefix.count)) } ?? 0
  }
}
