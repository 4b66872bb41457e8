import CVhost
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// QEMU's connection: whole messages in, with their descriptors; replies out. Never blocks.
struct VhostUserChannel {
  let socket: FileDescriptor
  private var buffer = [UInt8](repeating: 0, count: VhostUserMessage.headerByteCount + VhostUserMessage.maximumPayload)
  private var filled = 0
  private var descriptors: [FileDescriptor] = []

  init(_ socket: FileDescriptor) { self.socket = socket }

  enum Input {
    case message(VhostUserMessage, [FileDescriptor])
    /// Nothing whole is there yet.
    case nothing
    case closed
  }

  /// Throws where QEMU breaks the protocol.
  mutating func next() throws -> Input {
    while true {
      let wanted = try wantedCount()
      if filled == wanted, filled >= VhostUserMessage.headerByteCount {
        defer {
          filled = 0
          descriptors = []
        }
        return .message(try VhostUserMessage(buffer[..<wanted]), descriptors)
      }
      switch try receive(upTo: wanted) {
      case 0?: return .closed
      case let count?: filled += count
      case nil: return .nothing
      }
    }
  }

  /// How far the message goes, as far as we know.
  private func wantedCount() throws -> Int {
    let header = VhostUserMessage.headerByteCount
    guard filled >= header else { return header }
    return header + (try VhostUserMessage.payloadCount(header: buffer[..<header]))
  }

  /// Nil if nothing is there.
  private mutating func receive(upTo end: Int) throws -> Int? {
    var numbers = [Int32](repeating: -1, count: GuestMemory.maximumRegions)
    var received: Int32 = 0
    let start = filled
    let count = buffer.withUnsafeMutableBytes { bytes in
      numbers.withUnsafeMutableBufferPointer { numbers in
        cvhost_receive(
          socket.number, bytes.baseAddress.map { $0 + start }, end - start, numbers.baseAddress, Int32(numbers.count),
          &received)
      }
    }
    let failure = errno
    descriptors += numbers.prefix(Int(received)).map { FileDescriptor($0) }
    guard descriptors.count <= GuestMemory.maximumRegions else {
      throw DeviceFailure("QEMU sent too many descriptors with a vhost-user message")
    }
    if count >= 0 { return count }
    switch failure {
    case EAGAIN, EINTR: return nil
    case ECONNRESET: return 0
    default: throw SystemError("recvmsg", failure, subject: "on the vhost-user socket")
    }
  }

  /// Throws if the reply does not fit into the socket at once: QEMU does not read.
  func send(_ reply: [UInt8]) throws {
    let count = reply.withUnsafeBytes { bytes in
      Glibc.send(socket.number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
    guard count == reply.count || errno == EPIPE else {
      throw DeviceFailure("QEMU does not read its vhost-user replies")
    }
  }
}
