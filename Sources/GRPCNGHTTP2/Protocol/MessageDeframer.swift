/// Takes length-prefixed messages out of a stream's DATA, in whatever pieces they come
/// (gRPC over HTTP2, "Length-Prefixed-Message": one byte of flags, four of length, the message).
///
/// The peer chooses the length, so it only ever allocates ahead up to `reserveLimit`; past that the
/// buffer grows with the bytes that have really arrived.
struct MessageDeframer: Sendable {
  enum Failure: Error, Equatable {
    case compressed
    case invalidFlag(UInt8)
    case tooLarge(length: Int, limit: Int)
  }

  static let prefixLength = 5
  private static let reserveLimit = 1 << 20

  let maxMessageSize: Int
  private var prefix: (bytes: UInt64, count: Int) = (0, 0)
  private var message: [UInt8] = []
  private var remaining = 0

  init(maxMessageSize: Int) {
    self.maxMessageSize = maxMessageSize
  }

  /// Whether the bytes so far end in the middle of a message.
  var isInsideMessage: Bool { prefix.count > 0 }

  /// Consumes bytes from the start of `chunk` up to the end of one message, and returns that message;
  /// nil when `chunk` is used up before. A failure is final.
  mutating func next(_ chunk: inout UnsafeRawBufferPointer) throws(Failure) -> [UInt8]? {
    if prefix.count < Self.prefixLength {
      guard try readPrefix(&chunk) else { return nil }
    }
    let count = min(remaining, chunk.count)
    message.append(contentsOf: chunk.prefix(count))
    remaining -= count
    chunk = UnsafeRawBufferPointer(rebasing: chunk.dropFirst(count))
    guard remaining == 0 else { return nil }
    let whole = message
    message = []
    prefix = (0, 0)
    return whole
  }

  /// True once the prefix is complete and the message can follow.
  private mutating func readPrefix(_ chunk: inout UnsafeRawBufferPointer) throws(Failure) -> Bool {
    let count = min(Self.prefixLength - prefix.count, chunk.count)
    for byte in chunk.prefix(count) { prefix.bytes = prefix.bytes << 8 | UInt64(byte) }
    prefix.count += count
    chunk = UnsafeRawBufferPointer(rebasing: chunk.dropFirst(count))
    guard prefix.count == Self.prefixLength else { return false }
    let flag = UInt8(truncatingIfNeeded: prefix.bytes >> 32)
    let length = Int(prefix.bytes & 0xffff_ffff)
    guard flag == 0 else { throw flag == 1 ? .compressed : .invalidFlag(flag) }
    guard length <= maxMessageSize else { throw .tooLarge(length: length, limit: maxMessageSize) }
    remaining = length
    message.reserveCapacity(min(length, Self.reserveLimit))
    return true
  }
}
