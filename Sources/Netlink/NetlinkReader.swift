/// Reads what the kernel answered, never past its end: a short answer gives nil.
struct NetlinkReader {
  private let bytes: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  var count: Int { bytes.count }

  func number<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type = Number.self, at offset: Int) -> Number?
  {
    guard offset >= 0, offset + MemoryLayout<Number>.size <= bytes.count else { return nil }
    return bytes.dropFirst(offset).withUnsafeBytes { $0.loadUnaligned(as: Number.self) }
  }

  /// The messages of one datagram; what is cut short ends them.
  var messages: [NetlinkMessage] {
    var found: [NetlinkMessage] = []
    var rest = bytes
    while let length = NetlinkReader(rest).number(UInt32.self, at: 0).map(Int.init),
      length >= NetlinkRequest.headerLength, length <= rest.count,
      let type = NetlinkReader(rest).number(UInt16.self, at: 4),
      let sequence = NetlinkReader(rest).number(UInt32.self, at: 8)
    {
      let body = rest.prefix(length).dropFirst(NetlinkRequest.headerLength)
      found.append(NetlinkMessage(type: Int(type), sequence: sequence, body: NetlinkReader(body)))
      rest = rest.dropFirst((length + 3) & ~3)
    }
    return found
  }

  /// The attributes from `offset` on, by type.
  func attributes(from offset: Int) -> [Int: NetlinkReader] {
    var found: [Int: NetlinkReader] = [:]
    var rest = bytes.dropFirst(offset)
    while let length = NetlinkReader(rest).number(UInt16.self, at: 0).map(Int.init), length >= 4, length <= rest.count,
      let type = NetlinkReader(rest).number(UInt16.self, at: 2)
    {
      // The upper two bits say how it is encoded.
      found[Int(type & 0x3fff)] = NetlinkReader(rest.prefix(length).dropFirst(4))
      rest = rest.dropFirst((length + 3) & ~3)
    }
    return found
  }

  func prefix(_ length: Int) -> NetlinkReader { NetlinkReader(bytes.prefix(length)) }
  func suffix(from offset: Int) -> NetlinkReader { NetlinkReader(bytes.dropFirst(offset)) }

  var address: IPAddress? { IPAddress(bytes: bytes) }
  var hardwareAddress: HardwareAddress? { HardwareAddress(bytes: bytes) }
  /// Without the NUL that ends it.
  var text: String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
}

struct NetlinkMessage {
  var type: Int
  var sequence: UInt32
  var body: NetlinkReader
}
