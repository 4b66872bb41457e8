import CCurl

/// A multi handle of libcurl. Unchecked, because the compiler can't see who calls what: `CurlThread`, on its one
/// thread, has it to itself but for `wake`, which libcurl allows from any (curl_multi_wakeup(3)) and which `CurlLoop`
/// calls under the lock that tells whether the thread was told to close.
final class CurlMulti: @unchecked Sendable {
  private let handle: UnsafeMutableRawPointer
  private var isClosed = false

  /// Once a process, before anything else of libcurl.
  private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

  init() throws {
    guard Self.isReady, let handle = curl_multi_init() else { throw HTTPFailure.connection("libcurl can't be used") }
    self.handle = handle
  }

  deinit { close() }

  /// Closes the connections. No exchange may be in it any more, and nothing else may follow.
  func close() {
    if !isClosed { curl_multi_cleanup(handle) }
    isClosed = true
  }

  func wake() { curl_multi_wakeup(handle) }

  func add(_ exchange: CurlExchange) throws {
    let code = curl_multi_add_handle(handle, exchange.easy)
    guard code == CURLM_OK else { throw Self.failure(code) }
  }

  func remove(_ exchange: CurlExchange) { curl_multi_remove_handle(handle, exchange.easy) }

  /// Sends and receives what can be without waiting.
  func perform() throws {
    var running: Int32 = 0
    let code = curl_multi_perform(handle, &running)
    guard code == CURLM_OK else { throw Self.failure(code) }
  }

  /// Waits until there is something to do, or `wake` was called, or that long.
  func poll(milliseconds: Int32) throws {
    let code = curl_multi_poll(handle, nil, 0, milliseconds, nil)
    guard code == CURLM_OK else { throw Self.failure(code) }
  }

  /// The next exchange that is over, by its handle.
  func nextEnded() -> (easy: UnsafeMutableRawPointer, result: CURLcode)? {
    var left: Int32 = 0
    while let message = curl_multi_info_read(handle, &left) {
      if message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle {
        return (easy, message.pointee.data.result)
      }
    }
    return nil
  }

  private static func failure(_ code: CURLMcode) -> HTTPFailure {
    .connection(String(cString: curl_multi_strerror(code)))
  }
}
