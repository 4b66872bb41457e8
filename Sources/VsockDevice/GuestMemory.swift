/// The guest's memory as vhost-user's memory table describes it: the one place where an address that
/// came from outside becomes memory of ours, or is refused.
struct GuestMemory {
  /// As many as QEMU sends without further negotiation (VHOST_MEMORY_BASELINE_NREGIONS).
  static let maximumRegions = 8

  struct Region: Sendable {
    /// Where the guest sees it; descriptors speak of these.
    let guestAddress: UInt64
    /// Where QEMU sees it; ring addresses speak of these.
    let userAddress: UInt64
    let bytes: SharedBytes

    /// Nil if either range would wrap around the address space, or is empty.
    init?(guestAddress: UInt64, userAddress: UInt64, bytes: SharedBytes) {
      guard bytes.count > 0, !guestAddress.addingReportingOverflow(UInt64(bytes.count)).overflow,
        !userAddress.addingReportingOverflow(UInt64(bytes.count)).overflow
      else { return nil }
      self.guestAddress = guestAddress
      self.userAddress = userAddress
      self.bytes = bytes
    }
  }

  private let regions: ContiguousArray<Region>

  init(_ regions: some Sequence<Region> = []) { self.regions = ContiguousArray(regions) }

  /// The memory at a guest address: `count` bytes, or fewer where the region ends before; nil where
  /// there is none.
  func run(at guestAddress: UInt64, atMost count: UInt32) -> SharedBytes? {
    for region in regions where guestAddress >= region.guestAddress {
      let offset = guestAddress - region.guestAddress
      guard offset < UInt64(region.bytes.count) else { continue }
      let start = Int(offset)
      return region.bytes.slice(from: start, count: min(Int(count), region.bytes.count - start))
    }
    return nil
  }

  /// `count` bytes at an address of QEMU's, aligned as asked (a power of two), all in one region; else
  /// nil.
  func span(user userAddress: UInt64, count: Int, alignment: Int) -> SharedBytes? {
    for region in regions where userAddress >= region.userAddress {
      let offset = userAddress - region.userAddress
      guard offset < UInt64(region.bytes.count) else { continue }
      let start = Int(offset)
      guard count <= region.bytes.count - start else { return nil }
      let span = region.bytes.slice(from: start, count: count)
      return UInt(bitPattern: span.base) & UInt(alignment - 1) == 0 ? span : nil
    }
    return nil
  }
}
