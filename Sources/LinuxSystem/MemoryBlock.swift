/// Memory on its way between a descriptor and whoever uses it without copying (`Data` in host and guest, which
/// this module doesn't know). Owned by one at a time, who frees it; hence unchecked.
public struct MemoryBlock: @unchecked Sendable {
  public let address: UnsafeMutableRawPointer
  private let size: Int
  /// How much of it is filled.
  public internal(set) var count = 0

  init(size: Int) {
    address = .allocate(byteCount: max(size, 1), alignment: 16)
    self.size = size
  }

  public init(copying bytes: some Collection<UInt8>) {
    self.init(size: bytes.count)
    count = bytes.count
    room.copyBytes(from: bytes)
  }

  var room: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: address, count: size) }
  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: address, count: count) }
  public func free() { address.deallocate() }
}
