import Foundation
@testable import Streaming
import Testing

/// A client of SPDY/3.1 as its specification describes it; like all of Kubernetes' it ignores windows.
final class SPDYClient {
  enum Frame: Equatable {
    case reply(UInt32)
    case reset(UInt32, status: UInt32)
    case ping(UInt32)
    case goAway(status: UInt32)
    case data(UInt32, [UInt8], isLast: Bool)
  }

  let pipe: any BytePipe
  private let deflater = HeaderDeflater()
  private var nextStream: UInt32 = 1

  static func upgrade(_ url: String, _ protocols: [String]) throws -> (SPDYClient?, Socket.Response) {
    let socket = try Socket(url)
    let response = try socket.request(
      url,
      [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")] + protocols.map { ("X-Stream-Protocol-Version", $0) })
    return (response.status == 101 ? SPDYClient(socket) : nil, response)
  }

  convenience init(_ url: String, _ protocols: String...) throws {
    let (client, response) = try Self.upgrade(url, protocols)
    let upgraded = try #require(client, "\(response)")
    self.init(upgraded.pipe)
  }

  init(_ pipe: any BytePipe) { self.pipe = pipe }

  func open(_ headers: [String: String], isLast: Bool = false) throws -> UInt32 {
    let id = nextStream
    nextStream += 2
    try pipe.write(synStream(id, try deflater.deflate(HeaderBlock(headers).encoded), isLast: isLast))
    return id
  }

  func synStream(_ id: UInt32, _ block: [UInt8], isLast: Bool = false) -> [UInt8] {
    control(1, flags: isLast ? 1 : 0, word(id) + word(0) + [0, 0] + block)
  }

  func control(_ type: UInt16, flags: UInt8 = 0, _ payload: [UInt8]) -> [UInt8] {
    [0x80, 3, UInt8(type >> 8), UInt8(type & 255), flags] + word(UInt32(payload.count)).dropFirst() + payload
  }

  func word(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }

  func send(_ id: UInt32, _ bytes: some Collection<UInt8>, isLast: Bool = false) throws {
    try pipe.write(word(id) + [isLast ? 1 : 0] + word(UInt32(bytes.count)).dropFirst() + Array(bytes))
  }

  func frame() throws -> Frame {
    let header = try pipe.read(8)
    let first = header[..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let payload = try pipe.read(Int(header[5]) << 16 | Int(header[6]) << 8 | Int(header[7]))
    func word(_ at: Int) -> UInt32 { payload[at..<(at + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }
    if first & 0x8000_0000 == 0 { return .data(first, payload, isLast: header[4] & 1 != 0) }
    try #require(header[0] == 0x80 && header[1] == 3)
    switch first & 0xffff {
    case 2: return .reply(word(0))
    case 3: return .reset(word(0), status: word(4))
    case 6: return .ping(word(0))
    case 7: return .goAway(status: word(4))
    default:
      Issue.record("the server sent a control frame of type \(first & 0xffff)")
      throw ConnectionEnded()
    }
  }

  /// Opens one stream for each type, as remote commands have them, and waits for each reply.
  func openStreams(_ types: String...) throws -> [String: UInt32] {
    var ids: [String: UInt32] = [:]
    for type in types {
      let id = try open(["streamtype": type])
      try #require(try frame() == .reply(id))
      ids[type] = id
    }
    return ids
  }

  /// What comes on each stream until all of these have ended.
  func collect(_ ids: some Collection<UInt32>) throws -> [UInt32: [UInt8]] {
    var open = Set(ids)
    var found: [UInt32: [UInt8]] = [:]
    while !open.isEmpty {
      switch try frame() {
      case .data(let id, let bytes, let isLast):
        found[id, default: []] += bytes
        if isLast { open.remove(id) }
      case .reset(let id, _): open.remove(id)
      case .ping, .reply: break
      case .goAway: return found
      }
    }
    return found
  }
}

/// A socket, or what is tunnelled through one.
protocol BytePipe {
  func write(_ bytes: [UInt8]) throws
  func read(_ count: Int) throws -> [UInt8]
}

extension Socket: BytePipe {
  func write(_ bytes: [UInt8]) throws { try write(bytes[...]) }
}

func text(_ bytes: [UInt8]?) -> String { String(decoding: bytes ?? [], as: UTF8.self) }
