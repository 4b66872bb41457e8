import Common
import NIOCore
import Synchronization

/// What a client may do once, for a while: the requests that wait for their client to come to the server.
enum SessionRequest: Hashable, Sendable {
  case exec(ExecSessionRequest)
  case attach(AttachSessionRequest)
  case portForward(PortForwardSessionRequest)

  /// The first part of the URL's path.
  var endpoint: String {
    switch self {
    case .exec: "exec"
    case .attach: "attach"
    case .portForward: "portforward"
    }
  }
}

/// Single-use tokens: 128 random bits each, as 32 hex digits.
final class TokenStore: Sendable {
  private struct State {
    var requests: [String: SessionRequest] = [:]
    /// Tokens by age, used ones among them until they would have expired.
    var byAge: CircularBuffer<(token: String, expires: ContinuousClock.Instant)> = []
  }

  private let lifetime: Duration
  private let capacity: Int
  private let state = Mutex(State())

  init(lifetime: Duration, capacity: Int) {
    self.lifetime = lifetime
    self.capacity = capacity
  }

  /// Throws `resourceExhausted` where `capacity` tokens wait for their clients.
  func insert(_ request: SessionRequest, now: ContinuousClock.Instant = .now) throws(BulkheadError) -> String {
    var generator = SystemRandomNumberGenerator()
    let token = hexString((0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) })
    let inserted = state.withLock { state in
      Self.dropExpired(&state, now)
      guard state.requests.count < capacity, state.byAge.count < 2 * capacity else { return false }
      state.requests[token] = request
      state.byAge.append((token, now + lifetime))
      return true
    }
    guard inserted else {
      throw BulkheadError(
        .resourceExhausted, "\(capacity) streaming requests wait for their clients: try again in a minute")
    }
    return token
  }

  /// The request, once; nil where the token is unknown, used or expired.
  func consume(_ token: String, now: ContinuousClock.Instant = .now) -> SessionRequest? {
    state.withLock { state in
      Self.dropExpired(&state, now)
      return state.requests.removeValue(forKey: token)
    }
  }

  private static func dropExpired(_ state: inout State, _ now: ContinuousClock.Instant) {
    while let oldest = state.byAge.first, oldest.expires <= now {
      state.byAge.removeFirst()
      state.requests[oldest.token] = nil
    }
  }
}
