/// The limits of one HTTP/2 connection, the same for clients and servers.
public struct HTTP2Limits: Sendable {
  /// How many bytes of messages a peer may send on one stream before its reader takes them.
  public var streamWindow: Int32 = 1 << 20
  /// The same for all streams of a connection together, while they are on their way.
  public var connectionWindow: Int32 = 4 << 20
  /// Bytes of one frame, both ways.
  public var maxFrameSize: UInt32 = 64 << 10
  /// Bytes of one header list, counted as HTTP/2 does (name, value and 32 for each field). At most
  /// 64 KiB, which is libnghttp2's own limit.
  public var maxHeaderListSize: UInt32 = 16 << 10
  /// How many bytes may wait to be sent on one stream before `write` suspends.
  public var sendBufferSize = 512 << 10

  public init() {}
}

/// HTTP/2 error codes that the transport itself sends (RFC 9113, 7).
enum HTTP2ErrorCode: UInt32 {
  case noError = 0x0
  case protocolError = 0x1
  case internalError = 0x2
  case cancel = 0x8
}
