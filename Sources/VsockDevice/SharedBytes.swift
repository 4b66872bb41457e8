import CVhost

/// A span of memory that the guest can change at any time: nothing read from it once may be read
/// again in the belief that it is the same.
///
/// Offsets are our own arithmetic, never a guest's number; a wrong one is a bug of ours, and ends the
/// process rather than touch other memory.
struct SharedBytes: Sendable, Equatable {
  // Valid as long as the mapping in GuestMemory is; a span is never kept beyond a memory table.
  nonisolated(unsafe) let base: UnsafeMutableRawPointer
  let count: Int

  private func address(_ offset: Int, _ size: Int) -> UnsafeMutableRawPointer {
    precondition(offset >= 0 && size <= count && offset <= count - size)
    return base + offset
  }

  func load16(at offset: Int) -> UInt16 { UInt16(littleEndian: cvhost_load16(address(offset, 2))) }
  func loadAcquire16(at offset: Int) -> UInt16 { UInt16(littleEndian: cvhost_load16_acquire(address(offset, 2))) }
  func store16(_ value: UInt16, at offset: Int) { cvhost_store16(address(offset, 2), value.littleEndian) }
  func storeRelease16(_ value: UInt16, at offset: Int) {
    cvhost_store16_release(address(offset, 2), value.littleEndian)
  }
  func store32(_ value: UInt32, at offset: Int) { cvhost_store32(address(offset, 4), value.littleEndian) }

  func loadDescriptor(at offset: Int) -> Descriptor {
    let raw = cvhost_load_descriptor(address(offset, Descriptor.byteCount))
    return Descriptor(
      address: UInt64(littleEndian: raw.address), length: UInt32(littleEndian: raw.length),
      flags: Descriptor.Flags(rawValue: UInt16(littleEndian: raw.flags)), next: UInt16(littleEndian: raw.next))
  }

  func slice(from offset: Int, count: Int) -> SharedBytes {
    SharedBytes(base: address(offset, count), count: count)
  }

  /// Copies all of it out, once.
  func copy(to target: UnsafeMutableRawPointer) { cvhost_copy(target, base, count) }
  /// Overwrites all of it.
  func fill(from source: UnsafeRawPointer) { base.copyMemory(from: source, byteCount: count) }
}

/// One entry of a descriptor table (virtio 1.2, 2.7.5).
struct Descriptor: Equatable, Sendable {
  static let byteCount = 16
  struct Flags: OptionSet, Sendable {
    let rawValue: UInt16
    static let next = Flags(rawValue: 1)
    static let deviceWrites = Flags(rawValue: 2)
    static let indirect = Flags(rawValue: 4)
  }
  var address: UInt64
  var length: UInt32
  var flags: Flags
  var next: UInt16
}
