import CNetlink

/// A request as its bytes come together: header, the fixed part of its kind, attributes (netlink(7),
/// rtnetlink(7)). Numbers are in the host's order unless a caller swaps them.
struct NetlinkRequest {
  private(set) var bytes: [UInt8] = []
  /// What it does, for errors: "add address 192.0.2.1/24".
  let purpose: String

  static let headerLength = 16

  init(_ purpose: String, type: Int, flags: Int32) {
    self.purpose = purpose
    append(UInt32(0))
    append(UInt16(truncatingIfNeeded: type))
    append(UInt16(truncatingIfNeeded: flags | NLM_F_REQUEST))
    append(UInt32(0))
    append(UInt32(0))
  }

  mutating func append<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number) {
    withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) }
  }

  mutating func attribute(_ type: Int, _ value: UInt32) { nested(type) { $0.append(value) } }
  mutating func attribute(_ type: Int, _ value: [UInt8]) { nested(type) { $0.bytes += value } }
  /// NUL-terminated, as the kernel's own names are.
  mutating func attribute(_ type: Int, _ text: String) { nested(type) { $0.bytes += Array(text.utf8) + [0] } }

  /// An attribute whose value is what `body` appends.
  mutating func nested(_ type: Int, _ body: (inout NetlinkRequest) -> Void) {
    let start = bytes.count
    append(UInt16(0))
    append(UInt16(truncatingIfNeeded: type))
    body(&self)
    set(UInt16(truncatingIfNeeded: bytes.count - start), at: start)
    while !bytes.count.isMultiple(of: 4) { bytes.append(0) }
  }

  /// The whole message under this number.
  func sealed(sequence: UInt32) -> [UInt8] {
    var copy = self
    copy.set(UInt32(truncatingIfNeeded: bytes.count), at: 0)
    copy.set(sequence, at: 8)
    return copy.bytes
  }

  private mutating func set<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number, at offset: Int) {
    withUnsafeBytes(of: number) { raw in
      for (index, byte) in raw.enumerated() { bytes[offset + index] = byte }
    }
  }
}
