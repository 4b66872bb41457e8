/// Why the device had to end: one sentence for standard error. The causes are a guest or a QEMU that
/// broke its protocol, or the host running out of something.
public struct DeviceFailure: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}
