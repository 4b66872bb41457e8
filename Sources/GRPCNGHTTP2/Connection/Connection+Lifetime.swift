/// When to find out whether the peer still lives.
public struct Keepalive: Sendable {
  /// After this long without a byte from the peer it is pinged.
  public var interval: Duration
  /// How long the peer has for its answer before the connection is closed.
  public var timeout: Duration
  /// Whether to ping also while no RPC is running.
  public var whileIdle: Bool

  public init(interval: Duration, timeout: Duration = .seconds(20), whileIdle: Bool = false) {
    self.interval = interval
    self.timeout = timeout
    self.whileIdle = whileIdle
  }
}

extension Connection {
  func startKeepalive() {
    timer = resources.poller.after(keepalive.interval) { [unowned self] in checkPeer() }
  }

  private func checkPeer() {
    let silence = lastReceived.duration(to: .now)
    guard silence >= keepalive.interval, keepalive.whileIdle || !entries.isEmpty else { return startKeepalive() }
    session?.ping()
    markDirty()
    let asked = ContinuousClock.now
    timer = resources.poller.after(keepalive.timeout) { [unowned self] in
      if lastReceived < asked { close("the peer did not answer a ping") } else { startKeepalive() }
    }
  }

  /// Lets running streams finish, and closes then. A server first tells that it will, and refuses new
  /// streams only after a round trip, so that none is lost that was on its way (RFC 9113, 6.8).
  func beginShutdown() {
    guard phase == .open, let session else { return }
    if session.role == .server {
      phase = .announced
      session.announceShutdown()
      session.ping()
      markDirty()
    } else {
      refuseNewStreams()
    }
  }

  func refuseNewStreams() {
    guard phase == .open || phase == .announced else { return }
    phase = .draining
    session?.goAway()
    markDirty()
  }
}
