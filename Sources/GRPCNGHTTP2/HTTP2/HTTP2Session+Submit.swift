import CNGHTTP2

/// What a connection asks its session to send. A refusal by nghttp2 always means that the stream or the
/// session is already ending, which the delegate learns from its own callback; so most calls ignore it.
extension HTTP2Session {
  /// Starts a request, and returns its stream; nil if the connection takes no more.
  func submitRequest(_ fields: [HeaderField]) -> Int32? {
    var provider = Self.dataProvider
    let stream = withNameValues(fields) { nghttp2_submit_request(session, nil, $0, $1, &provider, nil) }
    return stream > 0 ? stream : nil
  }

  func submitResponse(_ fields: [HeaderField], endStream: Bool, on stream: Int32) {
    var provider = Self.dataProvider
    _ = withNameValues(fields) { pairs, count in
      endStream
        ? nghttp2_submit_response(session, stream, pairs, count, nil)
        : nghttp2_submit_response(session, stream, pairs, count, &provider)
    }
  }

  func submitTrailers(_ fields: [HeaderField], on stream: Int32) {
    _ = withNameValues(fields) { nghttp2_submit_trailer(session, stream, $0, $1) }
  }

  /// `nextData` has something again.
  func resume(_ stream: Int32) { nghttp2_session_resume_data(session, stream) }

  func reset(_ stream: Int32, _ code: HTTP2ErrorCode) {
    nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code.rawValue)
  }

  /// Gives the peer `count` bytes of the stream's window back.
  func consume(_ count: Int, on stream: Int32) { nghttp2_session_consume_stream(session, stream, count) }

  /// Gives the peer `count` bytes of the connection's window back.
  func consumeConnection(_ count: Int) { nghttp2_session_consume_connection(session, count) }

  func ping() { nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil) }

  /// GOAWAY that refuses no stream yet (RFC 9113, 6.8); `goAway` follows a round trip later.
  func announceShutdown() { nghttp2_submit_shutdown_notice(session) }

  /// GOAWAY: streams that the peer has opened so far go on, new ones are refused.
  func goAway() {
    nghttp2_submit_goaway(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nghttp2_session_get_last_proc_stream_id(session),
      HTTP2ErrorCode.noError.rawValue, nil, 0)
  }

  /// Whether the peer may still send on the stream.
  func isRemoteOpen(_ stream: Int32) -> Bool {
    nghttp2_session_get_stream_remote_close(session, stream) == 0
  }

  /// Calls `body` with the fields in nghttp2's form, which it copies.
  private func withNameValues<Result>(
    _ fields: [HeaderField], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Result
  ) -> Result {
    var text: [UInt8] = []
    text.reserveCapacity(fields.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count })
    for field in fields {
      text.append(contentsOf: field.name.utf8)
      text.append(contentsOf: field.value.utf8)
    }
    return text.withUnsafeMutableBufferPointer { text in
      var next = text.baseAddress
      let pairs = fields.map { field in
        let (nameLength, valueLength) = (field.name.utf8.count, field.value.utf8.count)
        defer { next = next.map { $0 + nameLength + valueLength } }
        return nghttp2_nv(
          name: next, value: next.map { $0 + nameLength }, namelen: nameLength, valuelen: valueLength,
          flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
      }
      return pairs.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
    }
  }
}
