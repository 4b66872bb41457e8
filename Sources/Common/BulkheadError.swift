/// The one error type of the host's side: what went wrong as a code that a caller can act on, a
/// message that says what to do about it, and the error underneath.
///
/// Codes are gRPC's (https://grpc.io/docs/guides/status-codes), so that the CRI server maps them one
/// to one. Messages are shown to operators: no secrets, no environment values, and text that came
/// from a guest, an image or a registry only after `printable`.
public struct BulkheadError: Error, Sendable {
  public enum Code: String, Sendable, CaseIterable {
    case invalidArgument, notFound, alreadyExists, failedPrecondition, resourceExhausted, unavailable
    case deadlineExceeded, unimplemented, permissionDenied, unauthenticated, dataLoss, aborted, cancelled
    case internalError
  }

  public var code: Code
  public var message: String
  public var cause: (any Error)?

  public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }
}

extension BulkheadError: CustomStringConvertible {
  /// The message and, after a colon each, the messages of its causes.
  public var description: String {
    guard let cause else { return message }
    return "\(message): \(cause)"
  }
}

extension BulkheadError {
  /// `error` itself where it is one of ours, else an `internalError` around it that says what was
  /// being done.
  public static func wrapping(_ error: any Error, _ doing: @autoclosure () -> String) -> BulkheadError {
    if let ours = error as? BulkheadError { return ours }
    if error is CancellationError { return BulkheadError(.cancelled, "\(doing()): cancelled") }
    return BulkheadError(.internalError, doing(), cause: error)
  }
}
