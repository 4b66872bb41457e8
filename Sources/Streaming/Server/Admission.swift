import Common
import FoundationEssentials
import Hashing
import NIOHTTP1

/// A request that was let in: what its session does and which protocol carries it.
enum AdmittedSession: Sendable {
  case spdyCommand(RemoteCommand, RemoteCommandVersion)
  case channelCommand(RemoteCommand, ChannelProtocol)
  case spdyPortForward(PortForwardSessionRequest)
  case channelPortForward(PortForwardSessionRequest, ChannelProtocol)
  case tunnelledPortForward(PortForwardSessionRequest)
}

/// Why a request was not let in, as HTTP says it.
struct Refusal: Error, Hashable {
  var status: HTTPResponseStatus
  var message: String
  var headers: [String: String] = [:]
}

/// Decides over the one HTTP request of a connection. Pure, but that it uses up the token, whatever comes
/// of the request: a URL is good for one try.
struct Admission: Sendable {
  let tokens: TokenStore
  let slots: SessionSlots

  struct Admitted: Sendable {
    var session: AdmittedSession
    var slot: SessionSlot
    /// Beyond Connection and Upgrade.
    var headers: [(String, String)]
  }

  func admit(_ head: HTTPRequestHead) throws(Refusal) -> Admitted {
    let request = try consume(head)
    guard head.tokens("connection").contains("upgrade") else { throw Self.notUpgrade }
    let (session, headers) = try agree(request, head)
    guard let slot = slots.take() else {
      throw Refusal(status: .serviceUnavailable, message: "\(slots.count) streaming sessions are open, no more can be")
    }
    return Admitted(session: session, slot: slot, headers: headers)
  }

  private typealias Agreement = (AdmittedSession, headers: [(String, String)])

  private func agree(_ request: SessionRequest, _ head: HTTPRequestHead) throws(Refusal) -> Agreement {
    let upgrade = head.tokens("upgrade")
    if upgrade.contains("websocket") { return try agreeOnWebSocket(request, head) }
    if upgrade.contains("spdy/3.1") { return try agreeOnSPDY(request, head) }
    throw Self.notUpgrade
  }

  static let notUpgrade = Refusal(
    status: .badRequest, message: "only upgrades to SPDY/3.1 and websocket are served here")

  private func consume(_ head: HTTPRequestHead) throws(Refusal) -> SessionRequest {
    guard head.method == .GET || head.method == .POST else {
      throw Refusal(status: .methodNotAllowed, message: "only GET and POST", headers: ["Allow": "GET, POST"])
    }
    let path = head.uri.prefix { $0 != "?" }.split(separator: "/", omittingEmptySubsequences: false)
    guard path.count == 3, path[0].isEmpty, let request = tokens.consume(String(path[2])),
      request.endpoint == path[1]
    else {
      throw Refusal(status: .notFound, message: "the URL is unknown, was used before or has expired")
    }
    return request
  }

  // MARK: - SPDY

  private func agreeOnSPDY(_ request: SessionRequest, _ head: HTTPRequestHead) throws(Refusal) -> Agreement {
    let offered = head.headers["X-Stream-Protocol-Version"].flatMap(Self.list)
    let session: AdmittedSession
    let chosen: String?
    switch request {
    case .exec(let exec): (session, chosen) = try remoteCommand(.exec(exec), offered)
    case .attach(let attach): (session, chosen) = try remoteCommand(.attach(attach), offered)
    case .portForward(let portForward):
      let supported = SPDYPortForwardSession.protocolName
      guard offered.isEmpty || offered.contains(supported) else { throw Self.noCommonProtocol(offered, [supported]) }
      (session, chosen) = (.spdyPortForward(portForward), offered.isEmpty ? nil : supported)
    }
    return (session, chosen.map { [("X-Stream-Protocol-Version", $0)] } ?? [])
  }

  /// The first protocol of the client's that we speak. A client that names none speaks the first version.
  private func remoteCommand(
    _ command: RemoteCommand, _ offered: [String]
  ) throws(Refusal) -> (AdmittedSession, String?) {
    guard !offered.isEmpty else { return (.spdyCommand(command, .v1), nil) }
    guard let version = offered.lazy.compactMap(RemoteCommandVersion.init).first else {
      throw Self.noCommonProtocol(offered, RemoteCommandVersion.allCases.reversed().map(\.rawValue))
    }
    return (.spdyCommand(command, version), version.rawValue)
  }

  private static func noCommonProtocol(_ offered: [String], _ supported: [String]) -> Refusal {
    Refusal(
      status: .forbidden,
      message: "no common protocol: the client speaks \(printable(offered.joined(separator: ", "))), "
        + "the server \(supported.joined(separator: ", "))",
      headers: ["X-Accepted-Stream-Protocol-Versions": supported.joined(separator: ", ")])
  }

  // MARK: - WebSocket

  private static let tunnelProtocol = "SPDY/3.1+portforward.k8s.io"

  private func agreeOnWebSocket(_ request: SessionRequest, _ head: HTTPRequestHead) throws(Refusal) -> Agreement {
    guard head.method == .GET else { throw Refusal(status: .badRequest, message: "a WebSocket begins with GET") }
    guard head.headers["Sec-WebSocket-Version"] == ["13"] else {
      throw Refusal(
        status: .upgradeRequired, message: "only version 13 of WebSocket is spoken here",
        headers: ["Sec-WebSocket-Version": "13"])
    }
    guard let key = head.headers.first(name: "Sec-WebSocket-Key"), Data(base64Encoded: key)?.count == 16 else {
      throw Refusal(status: .badRequest, message: "Sec-WebSocket-Key is not 16 bytes in base64")
    }
    let offered = head.headers["Sec-WebSocket-Protocol"].flatMap(Self.list)
    let (session, chosen) = try channels(request, offered)
    var headers = [("Sec-WebSocket-Accept", try Self.accept(key))]
    if let chosen { headers.append(("Sec-WebSocket-Protocol", chosen)) }
    return (session, headers)
  }

  private func channels(
    _ request: SessionRequest, _ offered: [String]
  ) throws(Refusal) -> (AdmittedSession, String?) {
    if case .portForward(let portForward) = request { return try self.portForward(portForward, offered) }
    let chosen = offered.lazy.compactMap(ChannelProtocol.init).first
    guard let spoken = offered.isEmpty ? .v1 : chosen else {
      throw Self.noCommonProtocol(offered, [ChannelProtocol.v5, .v4, .v4Base64, .v1, .v1Base64].map(\.rawValue))
    }
    switch request {
    case .exec(let exec): return (.channelCommand(.exec(exec), spoken), chosen?.rawValue)
    case .attach(let attach): return (.channelCommand(.attach(attach), spoken), chosen?.rawValue)
    case .portForward(let portForward): return try self.portForward(portForward, offered)
    }
  }

  private func portForward(
    _ request: PortForwardSessionRequest, _ offered: [String]
  ) throws(Refusal) -> (AdmittedSession, String?) {
    if offered.contains(Self.tunnelProtocol) { return (.tunnelledPortForward(request), Self.tunnelProtocol) }
    let chosen = offered.lazy.compactMap(ChannelProtocol.init).first { $0 == .v4 || $0 == .v4Base64 }
    guard let spoken = offered.isEmpty ? .v4 : chosen else {
      throw Self.noCommonProtocol(
        offered, [Self.tunnelProtocol, ChannelProtocol.v4.rawValue, ChannelProtocol.v4Base64.rawValue])
    }
    guard (1...ChannelPortForwardSession.maximumPorts(spoken)).contains(request.ports.count) else {
      throw Refusal(
        status: .badRequest,
        message: "\(spoken.rawValue) forwards the ports that the PortForward call names: "
          + "1 to \(ChannelPortForwardSession.maximumPorts(spoken)), not \(request.ports.count)")
    }
    return (.channelPortForward(request, spoken), chosen?.rawValue)
  }

  /// RFC 6455 4.2.2.
  private static func accept(_ key: String) throws(Refusal) -> String {
    do {
      let hash = try MessageDigest(.sha1)
      try hash.update(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))
      return Data(try hash.finish()).base64EncodedString()
    } catch {
      throw Refusal(status: .internalServerError, message: "\(error)")
    }
  }

  private static func list(_ value: String) -> [String] {
    value.split(separator: ",").map { $0.trimmingPrefix { $0 == " " } }.map { text in
      String(text.prefix { $0 != " " })
    }
  }
}

extension HTTPRequestHead {
  /// A header's comma-separated tokens in lower case.
  fileprivate func tokens(_ name: String) -> [String] {
    headers[canonicalForm: name].map { $0.lowercased() }
  }
}
