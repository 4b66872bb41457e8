import Common
import GRPCCore
import Logging

/// The one mapping of our errors to gRPC's statuses.
extension BulkheadError: RPCErrorConvertible {
  public var rpcErrorMessage: String { description }

  public var rpcErrorCode: RPCError.Code {
    switch code {
    case .invalidArgument: .invalidArgument
    case .notFound: .notFound
    case .alreadyExists: .alreadyExists
    case .failedPrecondition: .failedPrecondition
    case .resourceExhausted: .resourceExhausted
    case .unavailable: .unavailable
    case .deadlineExceeded: .deadlineExceeded
    case .unimplemented: .unimplemented
    case .permissionDenied: .permissionDenied
    case .unauthenticated: .unauthenticated
    case .dataLoss: .dataLoss
    case .aborted: .aborted
    case .cancelled: .cancelled
    case .internalError: .internalError
    }
  }
}

/// Gives every call's failure its status and logs it: refused requests at debug, our own failures as
/// errors. Arguments are not logged: they carry environment values and credentials.
public struct CallInterceptor: ServerInterceptor {
  private let logger: Logger

  public init(logger: Logger) { self.logger = logger }

  public func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    do { return try await next(request, context) } catch let error as RPCError {
      // The transport's own: a message that is too large or no protobuf, a deadline.
      throw error
    } catch {
      let failure = BulkheadError.wrapping(error, "\(context.descriptor.method) failed")
      let level: Logger.Level = failure.code == .internalError || failure.code == .dataLoss ? .error : .debug
      logger.log(
        level: level, "call failed",
        metadata: ["method": "\(context.descriptor.method)", "code": "\(failure.code)", "error": "\(failure)"])
      throw RPCError(failure)
    }
  }
}
