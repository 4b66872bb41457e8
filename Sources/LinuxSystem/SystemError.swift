#if canImport(Glibc)
  import Glibc
#endif

/// A system call that failed: which one, and the error number it left.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
  public let call: String
  public let number: Int32
  /// What the call was about, a path for instance; empty where the call says it all.
  public let subject: String

  public init(_ call: String, _ number: Int32, subject: String = "") {
    self.call = call
    self.number = number
    self.subject = subject
  }

  public var description: String {
    let about = subject.isEmpty ? call : "\(call) \(subject)"
    return "\(about): \(String(cString: strerror(number)))"
  }
}

/// Runs one system call whose failure is -1, again when a signal interrupted it (EINTR), and throws
/// what errno said right after. Nothing else reads errno.
@discardableResult @inline(__always)
public func systemCall<Result: FixedWidthInteger & SignedInteger>(
  _ name: StaticString, subject: @autoclosure () -> String = "", _ body: () -> Result
) throws(SystemError) -> Result {
  while true {
    let result = body()
    if result != -1 { return result }
    let number = errno
    if number != EINTR { throw SystemError("\(name)", number, subject: subject()) }
  }
}
