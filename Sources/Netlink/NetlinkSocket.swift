import CNetlink
import LinuxSystem

#if canImport(Glibc)
  import Glibc
#endif

/// A connection to the kernel's routing tables, of the network namespace that the calling thread is in when
/// it opens it. Not for use by several threads at once. Its methods block, for seconds at most.
public struct NetlinkSocket: ~Copyable {
  private let descriptor: Int32
  private var sequence: UInt32 = 0

  public init() throws(SystemError) {
    descriptor = try systemCall("open a netlink socket") { netlink_open(5) }
  }

  deinit { close(descriptor) }

  /// Sends a request and waits for the kernel's word that it is done.
  mutating func perform(_ request: NetlinkRequest) throws(SystemError) {
    try exchange(request) { _ in }
  }

  /// Gives every message of the answer to a dump.
  mutating func dump(_ request: NetlinkRequest, _ each: (NetlinkReader) -> Void) throws(SystemError) {
    try exchange(request, each)
  }

  private mutating func exchange(_ request: NetlinkRequest, _ each: (NetlinkReader) -> Void) throws(SystemError) {
    sequence &+= 1
    let bytes = request.sealed(sequence: sequence)
    try systemCall("netlink", subject: request.purpose) { netlink_send(descriptor, bytes, bytes.count) }
    while true {
      for message in try receive(request.purpose) where message.sequence == sequence {
        switch message.type {
        case Int(NLMSG_ERROR):
          let number = message.body.number(Int32.self, at: 0) ?? -EPROTO
          if number != 0 { throw SystemError("netlink", -number, subject: request.purpose) }
          return
        case Int(NLMSG_DONE): return
        case Int(NLMSG_NOOP): break
        default: each(message.body)
        }
      }
    }
  }

  private func receive(_ purpose: String) throws(SystemError) -> [NetlinkMessage] {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    let length = try systemCall("netlink", subject: purpose) { netlink_receive(descriptor, &buffer, buffer.count) }
    return NetlinkReader(buffer.prefix(length)).messages
  }
}
