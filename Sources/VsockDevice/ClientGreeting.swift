/// The hybrid vsock handshake on the client's socket: the client says `CONNECT <port>\n`, and hears
/// `OK <host port>\n` or `ERR <reason>\n`. (Firecracker and Cloud Hypervisor speak the same.)
enum ClientGreeting: Equatable, Sendable {
  /// "CONNECT 4294967295\n" and some room for leading zeros.
  static let maximumByteCount = 32

  /// The line has not ended yet.
  case incomplete
  case invalid
  /// The guest's port, and how many bytes the line had.
  case connect(port: UInt32, byteCount: Int)

  init(_ bytes: some Collection<UInt8>) {
    guard
      let line = bytes.prefix(Self.maximumByteCount).split(
        separator: UInt8(ascii: "\n"), maxSplits: 1,
        omittingEmptySubsequences: false
      ).first, line.count < bytes.count
    else {
      self = bytes.count >= Self.maximumByteCount ? .invalid : .incomplete
      return
    }
    let command = Array("CONNECT ".utf8)
    let digits = line.dropFirst(command.count)
    guard line.starts(with: command), let port = Self.number(digits) else {
      self = .invalid
      return
    }
    self = .connect(port: port, byteCount: line.count + 1)
  }

  private static func number(_ digits: some Collection<UInt8>) -> UInt32? {
    guard !digits.isEmpty else { return nil }
    var value: UInt32 = 0
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(UInt32(digit - UInt8(ascii: "0")))
      guard !overflow, !carry else { return nil }
      value = sum
    }
    // VMADDR_PORT_ANY is nobody's port.
    return value == .max ? nil : value
  }

  static func accepted(hostPort: UInt32) -> String { "OK \(hostPort)\n" }
  static func refused(_ reason: String) -> String { "ERR \(reason)\n" }
}
