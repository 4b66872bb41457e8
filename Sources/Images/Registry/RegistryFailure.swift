import Common

/// Why a request to a registry failed, before it is put into words for the caller: retries and the next mirror
/// depend on it.
enum RegistryFailure: Error, Sendable {
  /// An answer that is no success. `detail` is the registry's own words, made printable.
  case status(Int, server: String, detail: String, retryAfter: Duration?)
  /// No answer, or one that broke off.
  case connection(server: String, any Error)
  /// TLS failed: the certificate is not trusted, or the server does not speak it.
  case tls(server: String, any Error)
  /// The answer is not what the protocol or the digest says.
  case content(BulkheadError)

  /// Whether the same request may succeed a little later.
  var isTransient: Bool {
    switch self {
    case .status(let code, _, _, _): code == 429 || code == 408 || (500...599).contains(code)
    case .connection: true
    case .tls, .content: false
    }
  }

  /// An answer that ended before its size.
  static func truncated(_ server: String) -> RegistryFailure {
    .connection(server: server, BulkheadError(.unavailable, "the answer broke off"))
  }

  /// What the HTTP client threw, sorted. Cancellation and our own errors pass through.
  static func sorting(_ error: any Error, server: String) -> any Error {
    switch error {
    case is RegistryFailure, is BulkheadError, is CancellationError: error
    case HTTPFailure.tls: RegistryFailure.tls(server: server, error)
    case HTTPFailure.tooLong:
      RegistryFailure.content(BulkheadError(.dataLoss, "\(server) sent more than the bytes such an answer may have"))
    case HTTPFailure.violation(let what):
      RegistryFailure.content(
        BulkheadError(.unavailable, "\(server) does not speak HTTP as it should: it sent \(what)"))
    default: RegistryFailure.connection(server: server, error)
    }
  }

  /// The failure as the caller of a pull is told; `what` is the image, or the part of it, that was asked for.
  func explained(_ what: String) -> BulkheadError {
    switch self {
    case .status(let code, let server, let detail, _):
      let said = detail.isEmpty ? "HTTP status \(code)" : "\(detail) (HTTP status \(code))"
      return BulkheadError(Self.code(of: code), "\(what): \(Self.advice(code, server)): \(said)")
    case .connection(let server, let error):
      return BulkheadError(.unavailable, "\(what): registry \(server) can't be reached", cause: printed(error))
    case .tls(let server, let error):
      let advice = "give its certificate authority, or http, in hosts.toml if this is meant to be"
      return BulkheadError(
        .unavailable, "\(what): TLS with registry \(server) failed; \(advice)", cause: printed(error))
    case .content(let error):
      return BulkheadError(error.code, "\(what): \(error.message)", cause: error.cause)
    }
  }

  private func printed(_ error: any Error) -> any Error {
    BulkheadError(.unavailable, printable(String(describing: error)))
  }

  private static func code(of status: Int) -> BulkheadError.Code {
    switch status {
    case 401: .unauthenticated
    case 403: .permissionDenied
    case 404: .notFound
    case 408, 429, 500...: .unavailable
    default: .failedPrecondition
    }
  }

  private static func advice(_ status: Int, _ server: String) -> String {
    switch status {
    case 401: "registry \(server) wants other credentials (check the pod's imagePullSecrets)"
    case 403: "registry \(server) forbids this to these credentials"
    case 404: "registry \(server) does not have it"
    case 429: "registry \(server) limits how often it may be asked"
    case 500...: "registry \(server) failed"
    default: "registry \(server) refused it"
    }
  }
}
