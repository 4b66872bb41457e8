import CLinux
import CVhost
import LinuxSystem

@testable import VsockDevice

#if canImport(Glibc)
  import Glibc
#endif

/// QEMU and a guest's driver in one: speaks vhost-user to a device over a real socket, with guest
/// memory in a real shared file, and drives the rings as virtio 1.2 section 2.7 has the driver do it. Used
/// by one thread at a time.
final class SimulatedMachine {
  static let cid: UInt64 = 77
  static let queueSize = 64
  static let receiveBufferSize = 4096
  static let transmitBufferSize = 64 << 10
  /// Two address spaces that differ, so that mixing them up shows.
  static let guestBase: UInt64 = 0x1_0000_0000
  static let userBase: UInt64 = 0x7f00_0000_0000

  struct Packet {
    var header: PacketHeader
    var payload: [UInt8] = []
  }

  struct TimedOut: Error {}

  /// One ring's place in memory, as offsets, and the driver's own counters.
  struct Ring {
    var descriptors: Int
    var available: Int
    var used: Int
    var buffers: Int
    var nextAvailable: UInt16 = 0
    var nextUsed: UInt16 = 0
    let kick = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
    let call = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
  }

  let socket: Int32
  let memory: UnsafeMutableRawPointer
  let memoryFile: Int32
  let memorySize = 8 << 20
  var receiveRing: Ring
  var transmitRing: Ring
  let features: Features
  private var freeTransmit: [Int]

  init(socketPath: String, features: Features = [.version1, .protocolFeatures], offeringBuffers: Bool = true) throws {
    self.features = features
    socket = try connectUnix(socketPath)
    memoryFile = try anonymousFile(memorySize)
    memory = mmap(nil, memorySize, PROT_READ | PROT_WRITE, MAP_SHARED, memoryFile, 0)
    receiveRing = Ring(descriptors: 0x1000, available: 0x2000, used: 0x3000, buffers: 1 << 20)
    transmitRing = Ring(descriptors: 0x5000, available: 0x6000, used: 0x7000, buffers: 2 << 20)
    freeTransmit = Array(0..<Self.queueSize / 2)
    try negotiate()
    try startRings()
    if offeringBuffers { for index in 0..<Self.queueSize / 2 { offerReceiveBuffer(index) } }
    kick(receiveRing)
  }

  deinit {
    munmap(memory, memorySize)
    for descriptor in [socket, memoryFile, receiveRing.kick, receiveRing.call, transmitRing.kick, transmitRing.call] {
      close(descriptor)
    }
  }

  // MARK: vhost-user

  func send(_ code: UInt32, _ payload: [UInt8] = [], descriptors: [Int32] = [], flags: UInt32 = 1) throws {
    let bytes = littleEndian(code) + littleEndian(flags) + littleEndian(UInt32(payload.count)) + payload
    try sendBytes(bytes, descriptors: descriptors, to: socket)
  }

  func request(_ code: UInt32, _ payload: [UInt8] = [], descriptors: [Int32] = [], flags: UInt32 = 1) throws -> [UInt8]
  {
    try send(code, payload, descriptors: descriptors, flags: flags)
    let header = try readExactly(12, from: socket)
    var reader = LittleEndianReader(header[...])
    let (answered, answerFlags) = (try reader.next(UInt32.self), try reader.next(UInt32.self))
    guard answered == code, answerFlags == 5 else { throw DeviceFailure("reply to \(answered), not \(code)") }
    return try readExactly(Int(try reader.next(UInt32.self)), from: socket)
  }

  private func negotiate() throws {
    _ = try request(1)
    _ = try request(15)
    try send(16, littleEndian(ProtocolFeatures.offered.rawValue))
    _ = try request(17)
    try send(3)
    try send(2, littleEndian(features.rawValue))
    try sendMemoryTable()
  }

  /// One region from the second page of the file on, as QEMU cuts regions out of a block.
  func sendMemoryTable() throws {
    let offset: UInt64 = 4096
    let region =
      littleEndian(Self.guestBase + offset) + littleEndian(UInt64(memorySize) - offset)
      + littleEndian(Self.userBase + offset) + littleEndian(offset)
    let reply = try request(
      5, littleEndian(UInt32(1)) + littleEndian(UInt32(0)) + region, descriptors: [memoryFile], flags: 9)
    guard reply == littleEndian(UInt64(0)) else { throw DeviceFailure("memory table not acknowledged") }
  }

  func startRings(from positions: (UInt32, UInt32) = (0, 0)) throws {
    for (index, ring, position) in [(UInt32(0), receiveRing, positions.0), (1, transmitRing, positions.1)] {
      let number = littleEndian(index)
      try send(8, number + littleEndian(UInt32(Self.queueSize)))
      try send(10, number + littleEndian(position))
      let addresses = [ring.descriptors, ring.used, ring.available].flatMap { littleEndian(Self.userBase + UInt64($0)) }
      try send(9, number + littleEndian(UInt32(0)) + addresses + littleEndian(UInt64(0)))
      try send(12, littleEndian(UInt64(index)), descriptors: [ring.kick])
      try send(13, littleEndian(UInt64(index)), descriptors: [ring.call])
      try send(18, number + littleEndian(UInt32(1)))
    }
  }

  // MARK: Driver

  func kick(_ ring: Ring) {
    var one: UInt64 = 1
    write(ring.kick, &one, 8)
  }

  func writeDescriptor(_ table: Int, _ index: Int, _ descriptor: Descriptor) {
    let at = memory + table + 16 * index
    at.storeBytes(of: descriptor.address, as: UInt64.self)
    at.storeBytes(of: descriptor.length, toByteOffset: 8, as: UInt32.self)
    at.storeBytes(of: descriptor.flags.rawValue, toByteOffset: 12, as: UInt16.self)
    at.storeBytes(of: descriptor.next, toByteOffset: 14, as: UInt16.self)
  }

  func makeAvailable(_ ring: inout Ring, head: UInt16) {
    let slot = Int(ring.nextAvailable) % Self.queueSize
    (memory + ring.available + 4 + 2 * slot).storeBytes(of: head, as: UInt16.self)
    ring.nextAvailable &+= 1
    cvhost_store16_release(memory + ring.available + 2, ring.nextAvailable)
  }

  private func guestAddress(_ offset: Int) -> UInt64 { Self.guestBase + UInt64(offset) }

  /// Two descriptors a buffer: header and payload, as Linux 6.1 has it; or one indirect table of them.
  private func writeChain(_ ring: Ring, _ index: Int, at buffer: Int, _ payload: Int, _ flags: Descriptor.Flags) {
    let header = UInt32(PacketHeader.byteCount)
    let body = guestAddress(buffer + 64)
    if features.contains(.indirectDescriptors) {
      let table = 0x10000 + (ring.descriptors == 0x1000 ? 0 : 0x8000) + 32 * index
      writeDescriptor(
        table, 0, .init(address: guestAddress(buffer), length: header, flags: flags.union(.next), next: 1))
      writeDescriptor(table, 1, .init(address: body, length: UInt32(payload), flags: flags, next: 0))
      writeDescriptor(
        ring.descriptors, 2 * index, .init(address: guestAddress(table), length: 32, flags: .indirect, next: 0))
    } else {
      writeDescriptor(
        ring.descriptors, 2 * index,
        .init(address: guestAddress(buffer), length: header, flags: flags.union(.next), next: UInt16(2 * index + 1)))
      writeDescriptor(
        ring.descriptors, 2 * index + 1, .init(address: body, length: UInt32(payload), flags: flags, next: 0))
    }
  }

  func offerReceiveBuffer(_ index: Int) {
    let buffer = receiveRing.buffers + index * 8192
    writeChain(receiveRing, index, at: buffer, Self.receiveBufferSize, .deviceWrites)
    makeAvailable(&receiveRing, head: UInt16(2 * index))
  }

  /// The next packet from the device; its buffer is offered again.
  func receive(timeoutMilliseconds: Int = 5000) throws -> Packet {
    guard let packet = try receiveIfAny(timeoutMilliseconds) else { throw TimedOut() }
    return packet
  }

  func receiveIfAny(_ timeoutMilliseconds: Int = 0) throws -> Packet? {
    let end = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
    while true {
      if cvhost_load16_acquire(memory + receiveRing.used + 2) != receiveRing.nextUsed { break }
      if features.contains(.eventIndex) {
        let event = memory + receiveRing.available + 4 + 2 * Self.queueSize
        cvhost_store16(event, receiveRing.nextUsed)
        cvhost_fence()
        if cvhost_load16_acquire(memory + receiveRing.used + 2) != receiveRing.nextUsed { break }
      }
      guard ContinuousClock.now < end else { return nil }
      var entry = pollfd(fd: receiveRing.call, events: Int16(POLLIN), revents: 0)
      poll(&entry, 1, 50)
      var count: UInt64 = 0
      _ = read(receiveRing.call, &count, 8)
    }
    let element = memory + receiveRing.used + 4 + 8 * (Int(receiveRing.nextUsed) % Self.queueSize)
    let index = Int(element.load(as: UInt32.self)) / 2
    let written = Int(element.load(fromByteOffset: 4, as: UInt32.self))
    receiveRing.nextUsed &+= 1
    let buffer = memory + receiveRing.buffers + index * 8192
    guard let header = PacketHeader(UnsafeRawBufferPointer(start: buffer, count: 44)) else { throw TimedOut() }
    let payload = Array(UnsafeRawBufferPointer(start: buffer + 64, count: written - 44))
    offerReceiveBuffer(index)
    kick(receiveRing)
    return Packet(header: header, payload: payload)
  }

  private func reclaimTransmitBuffers() {
    while cvhost_load16_acquire(memory + transmitRing.used + 2) != transmitRing.nextUsed {
      let element = memory + transmitRing.used + 4 + 8 * (Int(transmitRing.nextUsed) % Self.queueSize)
      freeTransmit.append(Int(element.load(as: UInt32.self)) / 2)
      transmitRing.nextUsed &+= 1
    }
  }

  func send(_ packet: Packet, timeoutMilliseconds: Int = 5000) throws {
    let end = ContinuousClock.now + .milliseconds(timeoutMilliseconds)
    reclaimTransmitBuffers()
    while freeTransmit.isEmpty {
      guard ContinuousClock.now < end else { throw TimedOut() }
      usleep(50)
      reclaimTransmitBuffers()
    }
    let index = freeTransmit.removeLast()
    let offset = transmitRing.buffers + index * (Self.transmitBufferSize + 64)
    packet.header.encode(into: UnsafeMutableRawBufferPointer(start: memory + offset, count: 44))
    packet.payload.withUnsafeBytes { bytes in
      UnsafeMutableRawBufferPointer(start: memory + offset + 64, count: bytes.count).copyMemory(from: bytes)
    }
    writeChain(transmitRing, index, at: offset, packet.payload.count, [])
    makeAvailable(&transmitRing, head: UInt16(2 * index))
    kick(transmitRing)
  }
}

// MARK: - Files and sockets

/// A file without a name.
func anonymousFile(_ size: Int) throws -> Int32 {
  var template = Array("/tmp/bulkhead-guest-XXXXXX".utf8CString)
  let descriptor = try systemCall("mkstemp") { mkstemp(&template) }
  unlink(template)
  try systemCall("ftruncate") { ftruncate(descriptor, size) }
  return descriptor
}

func connectUnix(_ path: String) throws -> Int32 {
  let descriptor = try systemCall("socket") {
    Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
  }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
  try systemCall("connect", subject: path) {
    withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
  return descriptor
}

/// Bytes, and descriptors beside the first of them (SCM_RIGHTS, unix(7)).
func sendBytes(_ bytes: [UInt8], descriptors: [Int32], to socket: Int32) throws {
  var bytes = bytes
  // struct cmsghdr is a length of 8 bytes, level and type of 4 each; then the descriptors, padded to 8.
  let length = 16 + 4 * descriptors.count
  var control = littleEndian(UInt64(length)) + littleEndian(SOL_SOCKET) + littleEndian(Int32(SCM_RIGHTS))
  control += descriptors.flatMap { littleEndian($0) }
  while control.count % 8 != 0 { control.append(0) }
  let controlCount = descriptors.isEmpty ? 0 : control.count
  let count = bytes.withUnsafeMutableBytes { bytes in
    control.withUnsafeMutableBytes { control in
      var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
      return withUnsafeMutablePointer(to: &vector) { vector in
        var message = msghdr()
        message.msg_iov = vector
        message.msg_iovlen = 1
        message.msg_control = controlCount == 0 ? nil : control.baseAddress
        message.msg_controllen = controlCount
        return sendmsg(socket, &message, Int32(MSG_NOSIGNAL))
      }
    }
  }
  guard count == bytes.count else { throw SystemError("sendmsg", errno) }
}

func readExactly(_ count: Int, from descriptor: Int32) throws -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  var done = 0
  while done < count {
    let part = try systemCall("read") {
      bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + done, count - done) }
    }
    guard part > 0 else { throw SystemError("read", ECONNRESET) }
    done += part
  }
  return bytes
}
