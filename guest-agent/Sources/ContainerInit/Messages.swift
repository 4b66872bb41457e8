import CGuest
import CLinux
import Glibc
import LinuxSystem

/// What the agent asks of the zygote. One message, with these descriptors: the job's memfd, the job's own
/// socket, standard input, output and error, the cgroup's directory; then the pidfd of a process whose
/// namespaces matter, if `joins` says so.
public struct ForkRequest: WireCoded, Sendable {
  public enum Kind: UInt8, Sendable {
    case container, exec
    /// The first process of the pod's PID namespace: it only reaps.
    case pause
  }

  public var kind = Kind.container
  /// The new process is the first of a PID namespace of its own.
  public var newPIDNamespace = false
  /// It goes into the PID namespace of the process whose pidfd came along.
  public var joins = false

  public init() {}

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.choice(&kind)
    try coder.flag(&newPIDNamespace)
    try coder.flag(&joins)
  }
}

/// What comes back on the job's socket, in the order of the cases, until exec closes it or `failed` ends it.
public struct HelperMessage: WireCoded, Sendable {
  public enum Kind: UInt8, Sendable {
    /// From the zygote: `pid`, with the pidfd. May come after `ready`.
    case forked
    /// From the new process: it stands at the gate, as `identity`; with the terminal's master, if it has one.
    case ready
    /// `text` says which step failed and why, `code` is what a shell would exit with (126, 127, or 128).
    case failed
  }

  public var kind = Kind.failed
  public var pid: Int32 = 0
  public var identity = Identity()
  public var code: UInt32 = 128
  public var text: [UInt8] = []

  public init() {}
  public init(_ kind: Kind) { self.kind = kind }

  public mutating func code(with coder: inout some FieldCoder) throws(WireError) {
    try coder.choice(&kind)
    try coder.integer(&pid)
    try identity.code(with: &coder)
    try coder.integer(&code)
    try coder.bytes(&text)
  }
}

/// One end of a SOCK_SEQPACKET pair: whole messages, with descriptors. Does not own the descriptor.
public struct MessageSocket: Sendable {
  /// A message with the largest identity (`Identity.groups` is bounded at 4096) fits.
  static let largestMessage = 64 << 10
  public let descriptor: Int32

  public init(_ descriptor: Int32) { self.descriptor = descriptor }

  public func send(_ message: some WireCoded, descriptors: [Int32] = []) throws {
    let bytes = try message.wireBytes()
    try systemCall("sendmsg") {
      bytes.withUnsafeBytes {
        guest_send_message(descriptor, $0.baseAddress, $0.count, descriptors, Int32(descriptors.count))
      }
    }
  }

  /// Nil at the end: the other side closed, or became another program. Blocks.
  public func receive<Message: WireCoded>(_: Message.Type) throws -> (Message, descriptors: [Int32])? {
    var buffer = [UInt8](repeating: 0, count: Self.largestMessage)
    var descriptors = [Int32](repeating: -1, count: 8)
    var count: Int32 = 0
    let length: Int
    do {
      length = try systemCall("recvmsg") {
        count = Int32(descriptors.count)
        return buffer.withUnsafeMutableBytes {
          guest_receive_message(descriptor, $0.baseAddress, $0.count, &descriptors, &count)
        }
      }
    } catch {
      guard error.number == ECONNRESET else { throw error }
      return nil
    }
    guard length > 0 else { return nil }
    buffer.removeLast(buffer.count - length)
    return (try Message(wire: buffer), Array(descriptors.prefix(Int(count))))
  }
}
