/// One request of QEMU's (vhost-user protocol, qemu.org docs/interop/vhost-user): only those that our
/// features can bring. Parsed as a whole before anything is done; what does not fit is refused.
enum VhostUserRequest: Equatable, Sendable {
  case getFeatures
  case setFeatures(UInt64)
  case setOwner
  /// Deprecated by the protocol; some versions of QEMU still send it at reset.
  case resetOwner
  case setMemoryTable([RegionDescription])
  case setRingSize(ring: Int, UInt32)
  case setRingAddresses(ring: Int, VirtQueue.Layout)
  case setRingBase(ring: Int, UInt16)
  case getRingBase(ring: Int)
  case setRingKick(ring: Int, withoutDescriptor: Bool)
  case setRingCall(ring: Int, withoutDescriptor: Bool)
  case setRingError(ring: Int, withoutDescriptor: Bool)
  case getProtocolFeatures
  case setProtocolFeatures(UInt64)
  case getQueueCount
  case setRingEnabled(ring: Int, Bool)
  case getConfiguration(offset: UInt32, count: UInt32)
  case resetDevice

  struct RegionDescription: Equatable, Sendable {
    var guestAddress: UInt64
    var count: UInt64
    var userAddress: UInt64
    var fileOffset: UInt64
  }
}

/// A request with what its header says besides.
struct VhostUserMessage: Equatable, Sendable {
  static let headerByteCount = 12
  /// The longest payload that any request of ours has: a memory table of eight regions, or the
  /// configuration space, with room.
  static let maximumPayload = 512
  static let ringCount = 3

  var request: VhostUserRequest
  var code: UInt32
  /// The sender waits for an answer (REPLY_ACK) even where the request has none.
  var needsReply: Bool

  /// The payload's length by the 12 header bytes. Throws if it is not a version 1 request, or too long.
  static func payloadCount(header: ArraySlice<UInt8>) throws(DeviceFailure) -> Int {
    var reader = LittleEndianReader(header)
    let (code, flags, count) = (
      try reader.next(UInt32.self), try reader.next(UInt32.self), try reader.next(UInt32.self)
    )
    guard flags & 0b11 == 1, flags & 0b100 == 0 else {
      throw DeviceFailure("QEMU sent a vhost-user message that is not a version 1 request (flags \(flags))")
    }
    guard count <= maximumPayload else {
      throw DeviceFailure("QEMU sent vhost-user request \(code) with \(count) bytes of payload")
    }
    return Int(count)
  }

  /// `bytes` is one whole message: header and payload.
  init(_ bytes: ArraySlice<UInt8>) throws(DeviceFailure) {
    var reader = LittleEndianReader(bytes)
    code = try reader.next()
    needsReply = try reader.next(UInt32.self) & 0b1000 != 0
    _ = try reader.next(UInt32.self)
    request = try Self.request(code, &reader)
  }

  private static func request(
    _ code: UInt32, _ reader: inout LittleEndianReader
  ) throws(DeviceFailure) -> VhostUserRequest {
    switch code {
    case 1: return .getFeatures
    case 2: return .setFeatures(try reader.next())
    case 3: return .setOwner
    case 4: return .resetOwner
    case 5: return .setMemoryTable(try memoryTable(&reader))
    case 8: return .setRingSize(ring: try ring(&reader), try reader.next())
    case 9:
      let ring = try ring(&reader)
      _ = try reader.next(UInt32.self)  // flags: logging, which we do not offer
      let (descriptors, used, available) = (
        try reader.next(UInt64.self), try reader.next(UInt64.self), try reader.next(UInt64.self)
      )
      return .setRingAddresses(ring: ring, .init(descriptors: descriptors, available: available, used: used))
    case 10:
      let ring = try ring(&reader)
      return .setRingBase(ring: ring, UInt16(truncatingIfNeeded: try reader.next(UInt32.self)))
    case 11: return .getRingBase(ring: try ring(&reader))
    case 12:
      let target = try ringDescriptor(&reader)
      return .setRingKick(ring: target.ring, withoutDescriptor: target.withoutDescriptor)
    case 13:
      let target = try ringDescriptor(&reader)
      return .setRingCall(ring: target.ring, withoutDescriptor: target.withoutDescriptor)
    case 14:
      let target = try ringDescriptor(&reader)
      return .setRingError(ring: target.ring, withoutDescriptor: target.withoutDescriptor)
    case 15: return .getProtocolFeatures
    case 16: return .setProtocolFeatures(try reader.next())
    case 17: return .getQueueCount
    case 18: return .setRingEnabled(ring: try ring(&reader), try reader.next(UInt32.self) != 0)
    case 24: return .getConfiguration(offset: try reader.next(), count: try reader.next())
    case 34: return .resetDevice
    default: throw DeviceFailure("QEMU sent vhost-user request \(code), which this device does not offer")
    }
  }

  private static func ring(_ reader: inout LittleEndianReader) throws(DeviceFailure) -> Int {
    let index = try reader.next(UInt32.self)
    guard index < ringCount else { throw DeviceFailure("QEMU named ring \(index); there are \(ringCount)") }
    return Int(index)
  }

  /// The ring in the low byte; bit 8 says that no descriptor comes along.
  private static func ringDescriptor(
    _ reader: inout LittleEndianReader
  ) throws(DeviceFailure) -> (ring: Int, withoutDescriptor: Bool) {
    let value = try reader.next(UInt64.self)
    guard value & 0xff < ringCount else {
      throw DeviceFailure("QEMU named ring \(value & 0xff); there are \(ringCount)")
    }
    return (Int(value & 0xff), value & 0x100 != 0)
  }

  private static func memoryTable(
    _ reader: inout LittleEndianReader
  ) throws(DeviceFailure) -> [VhostUserRequest.RegionDescription] {
    let count = try reader.next(UInt32.self)
    _ = try reader.next(UInt32.self)
    guard count <= GuestMemory.maximumRegions else { throw DeviceFailure("QEMU described \(count) memory regions") }
    var regions: [VhostUserRequest.RegionDescription] = []
    for _ in 0..<count {
      regions.append(
        .init(
          guestAddress: try reader.next(), count: try reader.next(), userAddress: try reader.next(),
          fileOffset: try reader.next()))
    }
    return regions
  }

  /// The answer to a request: the same code, version 1, the reply bit.
  static func reply(to code: UInt32, payload: [UInt8]) -> [UInt8] {
    littleEndian(code) + littleEndian(UInt32(0b101)) + littleEndian(UInt32(payload.count)) + payload
  }
}

func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// Numbers one after the other from bytes; throws where they end.
struct LittleEndianReader {
  private var rest: ArraySlice<UInt8>
  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  mutating func next<Value: FixedWidthInteger & UnsignedInteger>(_: Value.Type = Value.self) throws(DeviceFailure)
    -> Value
  {
    let size = MemoryLayout<Value>.size
    guard rest.count >= size else { throw DeviceFailure("QEMU sent a vhost-user message that is too short") }
    var value: Value = 0
    for byte in rest.prefix(size).reversed() { value = value << 8 | Value(byte) }
    rest = rest.dropFirst(size)
    return value
  }
}
