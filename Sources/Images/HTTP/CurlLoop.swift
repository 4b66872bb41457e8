import CCurl
import LinuxSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// The connections of one pull with one set of TLS settings, and the thread that serves them. Ends with `close`.
final class CurlLoop: Sendable {
  enum Order: Sendable {
    case start(HTTPTransfer)
    /// Its reader has made room.
    case resume(HTTPTransfer)
    case remove(HTTPTransfer)
    /// The last one; the continuation is resumed when nothing is left.
    case close(CheckedContinuation<Void, Never>)
  }

  private struct Inbox {
    var orders: [Order] = []
    var isOpen = true
  }

  private let inbox = Mutex(Inbox())
  private let multi: CurlMulti

  /// Throws `SystemError` if no thread can be made.
  init(tls: TLSMaterial, proxies: ProxySettings, timeouts: RegistryHTTP.Timeouts) throws {
    let multi = try CurlMulti()
    self.multi = multi
    let thread = try startThread { [self] in
      CurlThread(multi: multi, tls: tls, proxies: proxies, timeouts: timeouts).run { takeOrders() }
    }
    pthread_detach(thread)
  }

  /// Sends the request and waits for the head of its answer.
  func send(_ request: HTTPRequest) async throws -> HTTPAnswer {
    let transfer = HTTPTransfer(request)
    order(.start(transfer))
    // The answer exists before its head: it ends the transfer however this function ends.
    let answer = HTTPAnswerBody(transfer, self)
    return HTTPAnswer(head: try await answer.head(), body: answer)
  }

  /// Ends all transfers and closes all connections, also for a task that is cancelled. To be called once.
  func close() async { await withCheckedContinuation { order(.close($0)) } }

  func order(_ order: Order) {
    let isTaken = inbox.withLock { inbox in
      guard inbox.isOpen else { return false }
      inbox.orders.append(order)
      if case .close = order { inbox.isOpen = false }
      // Under the lock, since the thread releases the handle once it was told to close.
      multi.wake()
      return true
    }
    if isTaken { return }
    switch order {
    case .start(let transfer): transfer.end(.failure(CancellationError()))
    case .close(let continuation): continuation.resume()
    case .resume, .remove: break
    }
  }

  private func takeOrders() -> [Order] {
    inbox.withLock { inbox in
      defer { inbox.orders = [] }
      return inbox.orders
    }
  }
}
