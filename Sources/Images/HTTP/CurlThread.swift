import CCurl
import Glibc

/// What the thread of a `CurlLoop` does: it carries out the orders, and ends what is over or too late.
final class CurlThread {
  private let multi: CurlMulti
  private let tls: TLSMaterial
  private let proxies: ProxySettings
  private let timeouts: RegistryHTTP.Timeouts
  private var exchanges: [UnsafeMutableRawPointer: CurlExchange] = [:]

  init(multi: CurlMulti, tls: TLSMaterial, proxies: ProxySettings, timeouts: RegistryHTTP.Timeouts) {
    self.multi = multi
    self.tls = tls
    self.proxies = proxies
    self.timeouts = timeouts
  }

  /// Returns when an order to close was carried out.
  func run(orders: () -> [CurlLoop.Order]) {
    while true {
      for order in orders() {
        switch order {
        case .start(let transfer): start(transfer)
        case .resume(let transfer): resume(transfer)
        case .remove(let transfer): exchange(of: transfer).map(remove)
        case .close(let continuation):
          endAll(CancellationError())
          multi.close()
          return continuation.resume()
        }
      }
      do {
        try multi.perform()
        while let ended = multi.nextEnded() { end(ended.easy, ended.result) }
        endLate()
        try multi.poll(milliseconds: untilNextDeadline())
      } catch {
        endAll(error)
        // Not a loop without a pause if libcurl can't even wait.
        usleep(10_000)
      }
    }
  }

  private func start(_ transfer: HTTPTransfer) {
    do {
      let exchange = try CurlExchange(transfer, tls, proxies, timeouts)
      try multi.add(exchange)
      exchanges[exchange.easy] = exchange
    } catch {
      transfer.end(.failure(error))
    }
  }

  private func resume(_ transfer: HTTPTransfer) {
    guard let exchange = exchange(of: transfer) else { return }
    let code = exchange.resume()
    if code != CURLE_OK { end(exchange.easy, code) }
  }

  private func end(_ easy: UnsafeMutableRawPointer, _ code: CURLcode) {
    guard let exchange = exchanges[easy] else { return }
    exchange.end(code)
    remove(exchange)
  }

  private func endLate() {
    let now = ContinuousClock.now
    for exchange in exchanges.values {
      guard let deadline = exchange.deadline, deadline <= now else { continue }
      exchange.transfer.end(.failure(exchange.lateness))
      remove(exchange)
    }
  }

  private func endAll(_ error: any Error) {
    for exchange in exchanges.values {
      exchange.transfer.end(.failure(error))
      remove(exchange)
    }
  }

  /// One that is not over loses its connection.
  private func remove(_ exchange: CurlExchange) {
    multi.remove(exchange)
    exchanges[exchange.easy] = nil
  }

  private func exchange(of transfer: HTTPTransfer) -> CurlExchange? {
    exchanges.values.first { $0.transfer === transfer }
  }

  private func untilNextDeadline() -> Int32 {
    let wait = exchanges.values.compactMap(\.deadline).min().map { $0 - .now } ?? .seconds(60)
    // Rounded up, for it is not to be asked over and over within the last millisecond.
    return Int32(min(max(wait / .milliseconds(1), 0) + 1, 60_000))
  }
}
