/// The header of every packet on the RX and TX queues: `struct virtio_vsock_hdr` (virtio 1.2, 5.10.6),
/// 44 bytes, little-endian.
struct PacketHeader: Equatable, Sendable {
  static let byteCount = 44
  /// The host's context id; the only one that a guest can reach through us.
  static let hostCID: UInt64 = 2

  enum Operation: UInt16, Sendable {
    case request = 1
    case response, reset, shutdown, payload, creditUpdate, creditRequest
  }

  /// VIRTIO_VSOCK_TYPE_STREAM; we do not offer seqpacket, so no other type is known.
  static let stream: UInt16 = 1

  var sourceCID: UInt64
  var destinationCID: UInt64
  var sourcePort: UInt32
  var destinationPort: UInt32
  /// Bytes of payload after the header.
  var length: UInt32 = 0
  var type: UInt16 = PacketHeader.stream
  var rawOperation: UInt16
  var flags: UInt32 = 0
  /// The size of the sender's receive buffer for this connection (buf_alloc).
  var bufferSize: UInt32 = 0
  /// How many bytes the sender's application has taken from it so far, modulo 2^32 (fwd_cnt).
  var forwarded: UInt32 = 0

  /// Nil for an operation that the specification does not know.
  var operation: Operation? { Operation(rawValue: rawOperation) }
}

/// What a SHUTDOWN's sender will not do any more (virtio 1.2, 5.10.6.5).
struct ShutdownFlags: OptionSet, Sendable {
  let rawValue: UInt32
  static let willNotReceive = ShutdownFlags(rawValue: 1)
  static let willNotSend = ShutdownFlags(rawValue: 2)
  static let both: ShutdownFlags = [.willNotReceive, .willNotSend]
}

extension PacketHeader {
  /// Nil if there are fewer than 44 bytes. Every bit pattern of 44 bytes is a header.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= Self.byteCount else { return nil }
    func field<Field: FixedWidthInteger>(_ offset: Int, _: Field.Type = Field.self) -> Field {
      Field(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Field.self))
    }
    self.init(
      sourceCID: field(0), destinationCID: field(8), sourcePort: field(16), destinationPort: field(20),
      length: field(24), type: field(28), rawOperation: field(30), flags: field(32),
      bufferSize: field(36), forwarded: field(40))
  }

  /// Writes the 44 bytes; `bytes` must have room for them.
  func encode(into bytes: UnsafeMutableRawBufferPointer) {
    func store<Field: FixedWidthInteger>(_ value: Field, _ offset: Int) {
      bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Field.self)
    }
    store(sourceCID, 0)
    store(destinationCID, 8)
    store(sourcePort, 16)
    store(destinationPort, 20)
    store(length, 24)
    store(type, 28)
    store(rawOperation, 30)
    store(flags, 32)
    store(bufferSize, 36)
    store(forwarded, 40)
  }

  /// The RST that answers this packet where no connection is there to do it: addresses exchanged, the
  /// type as it came.
  var resetReply: PacketHeader {
    PacketHeader(
      sourceCID: destinationCID, destinationCID: sourceCID, sourcePort: destinationPort,
      destinationPort: sourcePort, type: type, rawOperation: Operation.reset.rawValue)
  }
}
