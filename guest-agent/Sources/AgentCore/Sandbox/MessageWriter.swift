/// Writes a protobuf message in its wire format (protobuf's "Encoding"), for answers that are made so often that
/// generated types, which keep each field and message by itself, would be most of the work.
struct MessageWriter {
  private(set) var bytes: [UInt8] = []

  mutating func append(_ field: Int, _ value: UInt64) {
    append(varint: UInt64(field) << 3)
    append(varint: value)
  }

  /// Bytes, text or a message.
  mutating func append(_ field: Int, _ value: some Collection<UInt8>) {
    append(varint: UInt64(field) << 3 | 2)
    append(varint: UInt64(value.count))
    bytes += value
  }

  private mutating func append(varint value: UInt64) {
    var rest = value
    while rest > 0x7f {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }
}
