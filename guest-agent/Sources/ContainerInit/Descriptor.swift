import Glibc

/// A file descriptor that is closed when its owner goes.
public struct Descriptor: ~Copyable, Sendable {
  public let number: Int32

  /// Takes over `number`.
  public init(owning number: Int32) { self.number = number }
  deinit { if number >= 0 { close(number) } }

  /// Gives the number to the caller, who closes it.
  public consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }
}

/// Runs `body` with `bytes` as a C string. What follows a NUL byte would be lost, so such bytes are refused
/// where a specification enters.
@inline(__always)
public func withPath<Result, Failure: Error>(
  _ bytes: [UInt8], _ body: (UnsafePointer<CChar>) throws(Failure) -> Result
) throws(Failure) -> Result {
  try body(bytes.map { CChar(bitPattern: $0) } + [0])
}
