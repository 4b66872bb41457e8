import CCurl

/// Why there is no answer, or not all of it.
enum HTTPFailure: Error, CustomStringConvertible {
  /// The server can't be reached, or the connection broke off or fell silent.
  case connection(String)
  case tls(String)
  /// The server sent what HTTP does not allow.
  case violation(String)
  /// The body is longer than its reader takes.
  case tooLong(limit: Int)

  var description: String {
    switch self {
    case .connection(let words), .tls(let words): words
    case .violation(let words): "the server sent \(words)"
    case .tooLong(let limit): "the server sent more than \(limit) bytes"
    }
  }

  /// What libcurl says, sorted. `words` are those of its error buffer.
  init(_ code: CURLcode, words: String) {
    let words = words.isEmpty ? String(cString: curl_easy_strerror(code)) : words
    // OpenSSL's words tell a peer that refuses from one that is lost, which libcurl has the same codes for.
    let isRefusal = words.contains("SSL routines") && !words.contains("unexpected eof")
    switch code {
    case CURLE_SSL_CONNECT_ERROR, CURLE_RECV_ERROR, CURLE_SEND_ERROR:
      self = isRefusal ? .tls(words) : .connection(words)
    case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
      CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_CLIENTCERT,
      CURLE_SSL_CRL_BADFILE, CURLE_USE_SSL_FAILED:
      self = .tls(words)
    default: self = .connection(words)
    }
  }
}
