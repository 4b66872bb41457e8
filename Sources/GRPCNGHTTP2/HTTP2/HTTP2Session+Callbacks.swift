import CNGHTTP2

/// The header block that is being received, up to a limit.
struct HeaderBlock {
  let limit: Int
  private(set) var fields: [HeaderField] = []
  private(set) var size = 0

  init(limit: Int) { self.limit = limit }

  var overflow: Bool { size > limit }

  mutating func append(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) {
    size += name.count + value.count + 32  // RFC 9113, 6.5.2
    guard !overflow else { return }
    fields.append(HeaderField(String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
  }
}

/// nghttp2's C callbacks: each finds the session in the user data and hands on.
extension HTTP2Session {
  static func setCallbacks(_ callbacks: OpaquePointer?) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, _, user in
      let session = HTTP2Session.from(user)
      session?.block = HeaderBlock(limit: Int(session?.limits.maxHeaderListSize ?? 0))
      return 0
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) { _, _, name, nameLength, value, valueLength, _, user in
      HTTP2Session.from(user)?.block.append(
        UnsafeBufferPointer(start: name, count: nameLength), UnsafeBufferPointer(start: value, count: valueLength))
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      if let frame { HTTP2Session.from(user)?.received(frame.pointee) }
      return 0
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, data, count, user in
      HTTP2Session.from(user)?.delegate.received(data: UnsafeRawBufferPointer(start: data, count: count), on: stream)
      return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, code, user in
      HTTP2Session.from(user)?.delegate.closed(stream: stream, code: code)
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
      guard let frame else { return 0 }
      let head = frame.pointee.hd
      let mayEnd = head.type == UInt8(NGHTTP2_DATA.rawValue) || head.type == UInt8(NGHTTP2_HEADERS.rawValue)
      if mayEnd, head.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 {
        HTTP2Session.from(user)?.delegate.sentEnd(on: head.stream_id)
      }
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, user in
      // Headers that could not be sent would leave the peer waiting. On a stream that is closing
      // already, the reset goes nowhere.
      if let head = frame?.pointee.hd, head.type == UInt8(NGHTTP2_HEADERS.rawValue) {
        HTTP2Session.from(user)?.reset(head.stream_id, .internalError)
      }
      return 0
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, frame, head, count, _, user in
      guard let frame, let head, let session = HTTP2Session.from(user) else {
        return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
      }
      return session.send(frame.pointee, head: head, count: count)
    }
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks) {
      _, _, _, connectionWindow, streamWindow, maxFrameSize, user in
      let limit = HTTP2Session.from(user).map { Int($0.limits.maxFrameSize) } ?? 0
      return min(Int(connectionWindow), Int(streamWindow), Int(maxFrameSize), limit)
    }
  }

  static var dataProvider: nghttp2_data_provider {
    var provider = nghttp2_data_provider()
    provider.read_callback = { _, stream, _, limit, flags, _, user in
      guard let flags, let session = HTTP2Session.from(user) else { return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
      return session.nextData(for: stream, limit: limit, &flags.pointee)
    }
    return provider
  }

  private static func from(_ user: UnsafeMutableRawPointer?) -> HTTP2Session? {
    user.map { Unmanaged<HTTP2Session>.fromOpaque($0).takeUnretainedValue() }
  }

  private func received(_ frame: nghttp2_frame) {
    let head = frame.hd
    let endStream = head.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch UInt32(head.type) {
    case NGHTTP2_HEADERS.rawValue:
      let block = self.block
      self.block = HeaderBlock(limit: 0)
      delegate.received(
        headers: block.fields, overflow: block.overflow, endStream: endStream,
        isRequest: frame.headers.cat == NGHTTP2_HCAT_REQUEST, on: head.stream_id)
    case NGHTTP2_DATA.rawValue where endStream: delegate.receivedEnd(on: head.stream_id)
    case NGHTTP2_GOAWAY.rawValue: delegate.receivedGoAway()
    case NGHTTP2_PING.rawValue where head.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0: delegate.receivedPong()
    default: break
    }
  }

  /// The stream's data goes straight into the output, without a stop in nghttp2's own buffer.
  private func nextData(for stream: Int32, limit: Int, _ flags: inout UInt32) -> Int {
    flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    switch delegate.nextData(for: stream, limit: limit) {
    case .wait:
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    case .bytes(let count):
      return count
    case .last(let count):
      flags |= NGHTTP2_DATA_FLAG_EOF.rawValue
      return count
    case .beforeTrailers(let count, let fields):
      flags |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      submitTrailers(fields, on: stream)
      return count
    }
  }

  private func send(_ frame: nghttp2_frame, head: UnsafePointer<UInt8>, count: Int) -> Int32 {
    guard let output, !output.isFull else { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
    output.append(UnsafeRawBufferPointer(start: head, count: 9))
    // Padding is never asked for (no select_padding callback), so the payload is the data alone.
    delegate.move(count, from: frame.hd.stream_id, to: output)
    return 0
  }
}
