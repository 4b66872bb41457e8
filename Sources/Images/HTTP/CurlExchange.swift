import CCurl
import Foundation
import Glibc

/// One request as libcurl carries it out, with all that it needs until it is over. For the thread that made it; it
/// must not be in a multi handle when it is released.
final class CurlExchange {
  let transfer: HTTPTransfer
  let easy: UnsafeMutableRawPointer
  private let timeouts: RegistryHTTP.Timeouts
  private let words: UnsafeMutablePointer<CChar>
  private var headers: UnsafeMutablePointer<curl_slist>?
  private var reader = HTTPHeadReader()
  private var hasHead = false
  private var isPaused = false
  private var refusal: HTTPFailure?
  /// When bytes of the body came last, or could have come again.
  private var lastHeard = ContinuousClock.now

  /// Throws `HTTPFailure` if libcurl does not take the settings.
  init(
    _ transfer: HTTPTransfer, _ tls: TLSMaterial, _ proxies: ProxySettings, _ timeouts: RegistryHTTP.Timeouts
  ) throws {
    guard let easy = curl_easy_init() else { throw HTTPFailure.connection("libcurl is out of memory") }
    self.easy = easy
    self.transfer = transfer
    self.timeouts = timeouts
    words = .allocate(capacity: Int(CURL_ERROR_SIZE))
    words.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    try setConduct()
    try setRequest(transfer.request)
    try setTLS(tls)
    try setProxy(proxies)
  }

  deinit {
    curl_easy_cleanup(easy)
    curl_slist_free_all(headers)
    words.deallocate()
  }

  /// What the server has kept us waiting for since when; nil while we keep the server waiting.
  var deadline: ContinuousClock.Instant? {
    guard hasHead else { return transfer.begun + timeouts.answer }
    return isPaused ? nil : lastHeard + timeouts.idleRead
  }

  var lateness: HTTPFailure {
    .connection(
      hasHead
        ? "the server sent nothing for \(timeouts.idleRead)" : "the server did not answer in \(timeouts.answer)")
  }

  /// There is room for more of the body.
  func resume() -> CURLcode {
    guard isPaused else { return CURLE_OK }
    isPaused = false
    lastHeard = .now
    return curl_easy_pause(easy, 0)
  }

  func end(_ code: CURLcode) {
    if let refusal { return transfer.end(.failure(refusal)) }
    transfer.end(code == CURLE_OK ? .success(()) : .failure(HTTPFailure(code, words: String(cString: words))))
  }
}

// What libcurl calls while it carries the request out; `context` is the exchange.
extension CurlExchange {
  fileprivate func take(header line: UnsafeRawBufferPointer) -> Int {
    do {
      if let head = try reader.take(line) {
        hasHead = true
        lastHeard = .now
        transfer.arrived(head)
      }
      return line.count
    } catch {
      refusal = error
      return 0
    }
  }

  fileprivate func take(body bytes: UnsafeRawBufferPointer) -> Int {
    guard hasHead else {
      refusal = .violation("a body without a head")
      return 0
    }
    lastHeard = .now
    guard transfer.arrived(bytes) else {
      isPaused = true
      return Int(CURL_WRITEFUNC_PAUSE)
    }
    return bytes.count
  }
}

private func deliver(
  _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?,
  _ take: (CurlExchange, UnsafeRawBufferPointer) -> Int
) -> Int {
  guard let bytes, let context else { return 0 }
  let exchange = Unmanaged<CurlExchange>.fromOpaque(context).takeUnretainedValue()
  return take(exchange, UnsafeRawBufferPointer(start: bytes, count: size * count))
}

/// libcurl's own sockets would be open in a program that another thread starts.
private func makeSocket(
  _: UnsafeMutableRawPointer?, _: curlsocktype, _ address: UnsafeMutablePointer<curl_sockaddr>?
) -> curl_socket_t {
  guard let address else { return CURL_SOCKET_BAD }
  return socket(
    address.pointee.family, address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), address.pointee.protocol)
}

extension CurlExchange {
  private func setConduct() throws {
    let context = Unmanaged.passUnretained(self).toOpaque()
    try check(bh_curl_set_pointer(easy, CURLOPT_ERRORBUFFER, words))
    try check(
      bh_curl_set_sink(easy, CURLOPT_HEADERFUNCTION) { deliver($0, $1, $2, $3) { $0.take(header: $1) } })
    try check(bh_curl_set_pointer(easy, CURLOPT_HEADERDATA, context))
    try check(bh_curl_set_sink(easy, CURLOPT_WRITEFUNCTION) { deliver($0, $1, $2, $3) { $0.take(body: $1) } })
    try check(bh_curl_set_pointer(easy, CURLOPT_WRITEDATA, context))
    try check(bh_curl_set_socket_maker(easy, makeSocket))
    try set(CURLOPT_PROTOCOLS_STR, "http,https")
    try set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1)
    try set(CURLOPT_HTTP09_ALLOWED, 0)
    // Redirects are RegistryConnection's, who knows which headers may go where.
    try set(CURLOPT_FOLLOWLOCATION, 0)
    try set(CURLOPT_PATH_AS_IS, 1)
    try set(CURLOPT_NOSIGNAL, 1)
    // A name that is being looked up by a server that is silent holds nobody up who gives up.
    try set(CURLOPT_QUICK_EXIT, 1)
    try set(CURLOPT_BUFFERSIZE, Self.bufferSize)
    let connect = timeouts.connect / .milliseconds(1)
    try set(CURLOPT_CONNECTTIMEOUT_MS, Int(min(max(connect, 1), 3_600_000)))
  }

  private static let bufferSize = 256 << 10

  private func setRequest(_ request: HTTPRequest) throws {
    try set(CURLOPT_URL, request.url)
    if case .post(let body) = request.method {
      try set(CURLOPT_POST, 1)
      try set(CURLOPT_POSTFIELDSIZE, body.count)
      try check(
        body.withUnsafeBytes { bh_curl_set_pointer(easy, CURLOPT_COPYPOSTFIELDS, .init(mutating: $0.baseAddress)) })
    }
    for header in request.headers {
      // libcurl's ways to write a header: without a value, it takes `name:` as the wish to send none.
      let line = header.value.isEmpty ? "\(header.name);" : "\(header.name): \(header.value)"
      guard let longer = curl_slist_append(headers, line) else {
        throw HTTPFailure.connection("libcurl is out of memory")
      }
      headers = longer
    }
    try check(bh_curl_set_pointer(easy, CURLOPT_HTTPHEADER, headers))
  }

  private func setTLS(_ tls: TLSMaterial) throws {
    try set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
    if !tls.verifies {
      try set(CURLOPT_SSL_VERIFYPEER, 0)
      try set(CURLOPT_SSL_VERIFYHOST, 0)
    }
    // In place of the system's bundle; the system's directory of the same certificates stays.
    if !tls.authorities.isEmpty { try set(CURLOPT_CAINFO_BLOB, tls.authorities) }
    if let certificates = tls.certificates, let key = tls.key {
      try set(CURLOPT_SSLCERT_BLOB, certificates)
      try set(CURLOPT_SSLKEY_BLOB, key)
    }
  }

  /// Whatever the variables say, libcurl is not left to read them: its rules are not quite containerd's, and it repeats
  /// a malformed URL with the password in it.
  private func setProxy(_ proxies: ProxySettings) throws {
    let proxy = proxies.proxy(for: transfer.request)
    try set(CURLOPT_PROXY, proxy?.server ?? "")
    try set(CURLOPT_NOPROXY, proxies.exceptions)
    try set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
    if let user = proxy?.user { try set(CURLOPT_PROXYUSERNAME, user) }
    if let password = proxy?.password { try set(CURLOPT_PROXYPASSWORD, password) }
  }

  private func set(_ option: CURLoption, _ value: Int) throws { try check(bh_curl_set_long(easy, option, value)) }

  private func set(_ option: CURLoption, _ value: String) throws { try check(bh_curl_set_string(easy, option, value)) }

  private func set(_ option: CURLoption, _ value: Data) throws {
    try check(value.withUnsafeBytes { bh_curl_set_blob(easy, option, $0.baseAddress, $0.count) })
  }

  private func check(_ code: CURLcode) throws {
    guard code == CURLE_OK else { throw HTTPFailure(code, words: "") }
  }
}
