import TestSupport
import Testing

@testable import VsockDevice

/// Rings in plain memory that a test writes as a guest would, rightly and wrongly.
private final class TestRing {
  static let size = 8
  static let count = 1 << 16
  let base = UnsafeMutableRawPointer.allocate(byteCount: TestRing.count, alignment: 4096)
  let memory: GuestMemory
  var published: UInt16 = 0

  init() {
    base.initializeMemory(as: UInt8.self, repeating: 0, count: Self.count)
    // Two regions that touch in the guest's addresses, so that a buffer can lie across.
    let half = Self.count / 2
    memory = GuestMemory(
      [(0, base), (half, base + half)].compactMap { offset, base in
        GuestMemory.Region(
          guestAddress: 0x10000 + UInt64(offset), userAddress: 0x50000 + UInt64(offset),
          bytes: SharedBytes(base: base, count: half))
      })
  }
  deinit { base.deallocate() }

  func queue(_ direction: VirtQueue.Direction = .fromGuest, _ features: Features = []) throws -> VirtQueue {
    try VirtQueue(
      size: UInt32(Self.size), layout: .init(descriptors: 0x50000, available: 0x50400, used: 0x50800), position: 0,
      direction: direction, features: features, memory: memory)
  }

  func descriptor(
    _ index: Int, at address: UInt64, _ length: UInt32, _ flags: Descriptor.Flags = [], next: UInt16 = 0, table: Int = 0
  ) {
    let at = base + table + 16 * index
    at.storeBytes(of: address, as: UInt64.self)
    at.storeBytes(of: length, toByteOffset: 8, as: UInt32.self)
    at.storeBytes(of: flags.rawValue, toByteOffset: 12, as: UInt16.self)
    at.storeBytes(of: next, toByteOffset: 14, as: UInt16.self)
  }

  func publish(_ head: UInt16) {
    (base + 0x400 + 4 + 2 * (Int(published) % Self.size)).storeBytes(of: head, as: UInt16.self)
    published &+= 1
    setAvailableIndex(published)
  }

  func setAvailableIndex(_ index: UInt16) { (base + 0x402).storeBytes(of: index, as: UInt16.self) }
  var usedIndex: UInt16 { (base + 0x802).load(as: UInt16.self) }
}

@Suite struct VirtQueueTests {
  @Test func aChainIsTakenInOrderAndGivenBack() throws {
    let ring = TestRing()
    var queue = try ring.queue()
    #expect(try queue.next(in: ring.memory) == nil)
    ring.descriptor(3, at: 0x12000, 44, .next, next: 5)
    ring.descriptor(5, at: 0x13000, 100)
    ring.publish(3)
    let chain = try #require(try queue.next(in: ring.memory))
    #expect(chain == VirtQueue.Chain(head: 3, count: 144))
    #expect(queue.segments.map(\.count) == [44, 100])
    #expect(try queue.next(in: ring.memory) == chain, "looking does not take")
    #expect(ring.usedIndex == 0)
    queue.complete(chain, written: 7)
    #expect(ring.usedIndex == 1)
    #expect((ring.base + 0x804).load(as: UInt32.self) == 3)
    #expect((ring.base + 0x808).load(as: UInt32.self) == 7)
    #expect(try queue.next(in: ring.memory) == nil)
  }

  @Test func aBufferAcrossRegionsBecomesTwoSegments() throws {
    let ring = TestRing()
    var queue = try ring.queue()
    ring.descriptor(0, at: 0x17ff0, 0x20)
    ring.publish(0)
    #expect(try queue.next(in: ring.memory)?.count == 0x20)
    #expect(queue.segments.map(\.count) == [0x10, 0x10])
  }

  @Test func headersMayBeCutAnywhere() throws {
    let ring = TestRing()
    var queue = try ring.queue(.toGuest)
    let parts: [UInt32] = [1, 0, 30, 12, 5]
    var address: UInt64 = 0x12000
    for (index, part) in parts.enumerated() {
      let isLast = index == parts.count - 1
      ring.descriptor(
        index, at: address, part, isLast ? .deviceWrites : [.deviceWrites, .next], next: UInt16(index + 1))
      address += 0x100
    }
    ring.publish(0)
    let chain = try #require(try queue.next(in: ring.memory))
    let header = PacketHeader(
      sourceCID: 2, destinationCID: 3, sourcePort: 4, destinationPort: 5, rawOperation: 5, forwarded: 99)
    queue.write(header)
    #expect(queue.header(of: chain) == header)
  }

  @Test func indirectTablesWork() throws {
    let ring = TestRing()
    var queue = try ring.queue(.fromGuest, .indirectDescriptors)
    ring.descriptor(0, at: 0x14000, 44, .next, next: 2, table: 0x2008)
    ring.descriptor(2, at: 0x15000, 10, table: 0x2008)
    ring.descriptor(1, at: 0x12008, 48, .indirect)
    ring.publish(1)
    #expect(try queue.next(in: ring.memory) == VirtQueue.Chain(head: 1, count: 54))
  }

  private func refuses(
    _ direction: VirtQueue.Direction = .fromGuest, _ features: Features = [], _ arrange: (TestRing) -> Void
  ) throws {
    let ring = TestRing()
    var queue = try ring.queue(direction, features)
    arrange(ring)
    #expect(throws: DeviceFailure.self) { try queue.next(in: ring.memory) }
  }

  @Test func whatBreaksTheRulesIsRefused() throws {
    try refuses { $0.setAvailableIndex(UInt16(TestRing.size) + 1) }
    try refuses { $0.publish(UInt16(TestRing.size)) }
    try refuses {
      $0.descriptor(0, at: 0x12000, 1, .next, next: 0)
      $0.publish(0)
    }
    try refuses {
      $0.descriptor(0, at: 0x12000, 1, .next, next: 900)
      $0.publish(0)
    }
    for (address, length) in [
      (0x0, 1), (0xffff, 1), (0x20000, 1), (0x1ffff, 2), (UInt64.max, 2), (0x10000, UInt32.max),
    ] as [(UInt64, UInt32)] {
      try refuses {
        $0.descriptor(0, at: address, length)
        $0.publish(0)
      }
    }
  }

  @Test func buffersForTheWrongDirectionAreRefused() throws {
    try refuses(.toGuest) {
      $0.descriptor(0, at: 0x12000, 64)
      $0.publish(0)
    }
    try refuses(.fromGuest) {
      $0.descriptor(0, at: 0x12000, 64, .deviceWrites)
      $0.publish(0)
    }
  }

  @Test func badIndirectTablesAreRefused() throws {
    try refuses {
      $0.descriptor(0, at: 0x12000, 16, .indirect)
      $0.publish(0)
    }
    let cases: [(UInt64, UInt32, Descriptor.Flags)] = [
      (0x12000, 0, .indirect), (0x12000, 17, .indirect), (0x1fff8, 16, .indirect), (0x17ff8, 16, .indirect),
      (0x12000, 16, [.indirect, .next]), (0x12000, 16 * 2000, .indirect),
    ]
    for (address, length, flags) in cases {
      try refuses(.fromGuest, .indirectDescriptors) {
        $0.descriptor(0, at: address, length, flags)
        $0.publish(0)
      }
    }
    // Nested, looped, and out of its own range.
    for inner in [(Descriptor.Flags.indirect, UInt16(0)), (.next, 0), (.next, 1), (.next, 9)] {
      try refuses(.fromGuest, .indirectDescriptors) {
        $0.descriptor(0, at: 0x12000, 16, .indirect)
        $0.descriptor(0, at: 0x14000, 16, inner.0, next: inner.1, table: 0x2000)
        $0.publish(0)
      }
    }
  }

  @Test func ringsThatDoNotFitAreRefused() {
    let ring = TestRing()
    func make(_ size: UInt32, _ layout: VirtQueue.Layout) throws {
      _ = try VirtQueue(
        size: size, layout: layout, position: 0, direction: .fromGuest, features: [], memory: ring.memory)
    }
    let good = VirtQueue.Layout(descriptors: 0x50000, available: 0x50400, used: 0x50800)
    #expect(throws: Never.self) { try make(8, good) }
    for size in [0, 3, 2048, UInt32.max] { #expect(throws: DeviceFailure.self) { try make(size, good) } }
    for (part, value) in [
      (\VirtQueue.Layout.descriptors, 0x50008), (\.available, 0x50401), (\.used, 0x50802), (\.descriptors, 0x57fc0),
      (\.used, 0x5fffc), (\.available, UInt64.max - 1), (\.used, 0x10000),
    ] as [(WritableKeyPath<VirtQueue.Layout, UInt64>, UInt64)] {
      var layout = good
      layout[keyPath: part] = value
      #expect(throws: DeviceFailure.self) { try make(8, layout) }
    }
  }

  @Test func theGuestIsToldOnlyWhenItWants() throws {
    for features in [Features(), .eventIndex] {
      let ring = TestRing()
      var queue = try ring.queue(.fromGuest, features)
      ring.descriptor(0, at: 0x12000, 64)
      func complete() throws {
        ring.publish(0)
        queue.complete(try #require(try queue.next(in: ring.memory)), written: 0)
      }
      var due = queue.announcementDue()
      #expect(!due)
      try complete()
      due = queue.announcementDue()
      #expect(due)
      due = queue.announcementDue()
      #expect(!due)
      // VIRTQ_AVAIL_F_NO_INTERRUPT, or an event index some way ahead.
      (ring.base + 0x400).storeBytes(of: 1, as: UInt16.self)
      (ring.base + 0x404 + 2 * TestRing.size).storeBytes(of: 2, as: UInt16.self)
      try complete()
      due = queue.announcementDue()
      #expect(!due)
      try complete()
      due = queue.announcementDue()
      #expect(due == features.contains(.eventIndex))
    }
  }

  @Test func aPatientRingTellsOfSeveralAtOnce() throws {
    for features in [Features(), .eventIndex] {
      let ring = TestRing()
      var queue = try ring.queue(.fromGuest, features)
      ring.descriptor(0, at: 0x12000, 64)
      func told(of count: Int) throws -> [Bool] {
        try (0..<count).map { _ in
          ring.publish(0)
          queue.complete(try #require(try queue.next(in: ring.memory)), written: 0)
          return queue.announcementDue(patience: 2)
        }
      }
      #expect(try told(of: 3) == [false, false, true])
      let event = ring.base + 0x404 + 2 * TestRing.size
      event.storeBytes(of: 3, as: UInt16.self)
      #expect(try told(of: 2) == [false, false])
      // It has looked by itself meanwhile and waits for the sixth: those that it saw don't count.
      event.storeBytes(of: 5, as: UInt16.self)
      #expect(try told(of: 1) == [!features.contains(.eventIndex)])
      let rest = try told(of: 3)
      #expect(rest == (features.contains(.eventIndex) ? [false, true, false] : [false, false, true]))
    }
  }

  @Test func aPatientRingNeverKeepsAGuestWaitingForRoom() throws {
    let ring = TestRing()
    var queue = try ring.queue(.fromGuest, .eventIndex)
    // Two such chains fill a half of the ring.
    ring.descriptor(0, at: 0x12000, 64, .next, next: 1)
    ring.descriptor(1, at: 0x13000, 64)
    let told = try (0..<3).map { _ in
      ring.publish(0)
      queue.complete(try #require(try queue.next(in: ring.memory)), written: 0)
      return queue.announcementDue(patience: 8)
    }
    #expect(told == [false, true, false])
  }

  @Test func askingForAKickSeesWhatCameMeanwhile() throws {
    for features in [Features(), .eventIndex] {
      let ring = TestRing()
      var queue = try ring.queue(.fromGuest, features)
      queue.suppressKicks()
      var isThere = queue.requestKick()
      #expect(!isThere)
      ring.descriptor(0, at: 0x12000, 64)
      ring.publish(0)
      isThere = queue.requestKick()
      #expect(isThere)
    }
  }

  @Test func indexesWrapAround() throws {
    let ring = TestRing()
    var queue = try ring.queue()
    ring.descriptor(0, at: 0x12000, 64)
    for _ in 0..<70000 {
      ring.publish(0)
      queue.complete(try #require(try queue.next(in: ring.memory)), written: 0)
    }
    #expect(ring.usedIndex == UInt16(truncatingIfNeeded: 70000))
  }

  /// Random bytes in table and ring: every chain is either refused or lies within memory.
  @Test func randomRingsNeverReachOutside() throws {
    var random = SeededRandom(seed: 42)
    var good = 0
    var bad = 0
    for round in 0..<20000 {
      let ring = TestRing()
      let features: Features = round % 2 == 0 ? [] : .indirectDescriptors
      var queue = try ring.queue(round % 3 == 0 ? .toGuest : .fromGuest, features)
      for index in 0..<TestRing.size + 8 {
        // Mostly plausible, so that walks go deep.
        let wild = random.next() % 12 == 0
        ring.descriptor(
          index % TestRing.size, at: wild ? random.next() : 0x10000 + random.next() % 0x10000,
          UInt32(truncatingIfNeeded: wild ? random.next() : (random.next() % 20) * 16),
          Descriptor.Flags(rawValue: UInt16(random.next() % (wild ? 16 : 3))),
          next: UInt16(truncatingIfNeeded: wild ? random.next() : random.next() % 8), table: index < 8 ? 0 : 0x2000)
      }
      ring.publish(UInt16(random.next() % 9))
      do {
        guard let chain = try queue.next(in: ring.memory) else { continue }
        good += 1
        let end = ring.base + TestRing.count
        let isInside = queue.segments.allSatisfy { $0.base >= ring.base && $0.base + $0.count <= end }
        let total = queue.segments.reduce(0) { $0 + $1.count }
        if !isInside || total != chain.count { Issue.record("round \(round): \(chain) is \(queue.segments)") }
      } catch {
        bad += 1
      }
    }
    #expect(good > 500 && bad > 500)
  }
}
