import CNGHTTP2

/// What a session tells its connection. All calls come from inside `receive` or `fill`, on the loop's
/// thread; they may submit frames, but not receive or fill again.
protocol HTTP2SessionDelegate: AnyObject {
  /// A whole header block. `overflow` says that it was larger than allowed, and `fields` is cut.
  func received(headers fields: [HeaderField], overflow: Bool, endStream: Bool, isRequest: Bool, on stream: Int32)
  func received(data: UnsafeRawBufferPointer, on stream: Int32)
  func receivedEnd(on stream: Int32)
  func receivedGoAway()
  /// The answer to a ping.
  func receivedPong()
  func closed(stream: Int32, code: UInt32)
  /// END_STREAM went out.
  func sentEnd(on stream: Int32)
  func nextData(for stream: Int32, limit: Int) -> DataToSend
  func move(_ count: Int, from stream: Int32, to output: OutputBuffer)
}

enum DataToSend {
  /// Nothing now; `resume` follows.
  case wait
  case bytes(Int)
  /// That many bytes, and then the end of the stream.
  case last(Int)
  /// That many bytes, and then trailers.
  case beforeTrailers(Int, [HeaderField])
}

/// The connection can't go on; the text says why.
struct HTTP2Failure: Error {
  var reason: String

  init(_ reason: String) { self.reason = reason }
  init(_ call: String, _ code: Int) {
    self.reason = "\(call): \(String(cString: nghttp2_strerror(Int32(truncatingIfNeeded: code))))"
  }
}

/// One HTTP/2 connection's protocol: libnghttp2's session with a safe face. It does no I/O: bytes that
/// came in go to `receive`, bytes to send come out of `fill`. Stays on one thread.
final class HTTP2Session {
  enum Role { case client, server }

  let session: OpaquePointer
  unowned let delegate: any HTTP2SessionDelegate
  let role: Role
  let limits: HTTP2Limits
  /// The header block that is coming in.
  var block = HeaderBlock(limit: 0)
  /// Set while `fill` runs.
  var output: OutputBuffer?

  init(
    role: Role, limits: HTTP2Limits, maxConcurrentStreams: UInt32, delegate: any HTTP2SessionDelegate
  ) throws(HTTP2Failure) {
    self.role = role
    self.limits = limits
    self.delegate = delegate
    self.session = try Self.makeSession(role)
    // The callbacks find `self` in nghttp2's user data. The session is deleted in deinit, so it never
    // outlives the object.
    nghttp2_session_set_user_data(session, Unmanaged.passUnretained(self).toOpaque())
    try submitPreface(maxConcurrentStreams)
  }

  deinit { nghttp2_session_del(session) }

  private static func makeSession(_ role: Role) throws(HTTP2Failure) -> OpaquePointer {
    var option: OpaquePointer?
    var callbacks: OpaquePointer?
    defer {
      nghttp2_option_del(option)
      nghttp2_session_callbacks_del(callbacks)
    }
    guard nghttp2_option_new(&option) == 0, nghttp2_session_callbacks_new(&callbacks) == 0 else {
      throw HTTP2Failure("no memory for an HTTP/2 session")
    }
    nghttp2_option_set_no_auto_window_update(option, 1)
    nghttp2_option_set_no_closed_streams(option, 1)
    nghttp2_option_set_max_outbound_ack(option, 256)
    nghttp2_option_set_max_reserved_remote_streams(option, 0)
    // A server's connection checks what it gets itself: see RequestFields.
    if role == .server { nghttp2_option_set_no_http_messaging(option, 1) }
    setCallbacks(callbacks)
    var session: OpaquePointer?
    let code =
      role == .client
      ? nghttp2_session_client_new2(&session, callbacks, nil, option)
      : nghttp2_session_server_new2(&session, callbacks, nil, option)
    guard code == 0, let session else { throw HTTP2Failure("nghttp2_session_new", Int(code)) }
    return session
  }

  private func submitPreface(_ maxConcurrentStreams: UInt32) throws(HTTP2Failure) {
    var settings = [
      Self.setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(limits.streamWindow)),
      Self.setting(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, limits.maxFrameSize),
      Self.setting(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.maxHeaderListSize),
    ]
    if role == .client {
      settings.append(Self.setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
    } else {
      settings.append(Self.setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, maxConcurrentStreams))
    }
    let code = nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
    guard code == 0 else { throw HTTP2Failure("nghttp2_submit_settings", Int(code)) }
    nghttp2_session_set_local_window_size(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, limits.connectionWindow)
  }

  private static func setting(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
    nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
  }

  /// Takes bytes that the peer sent. After a failure the connection must be closed.
  func receive(_ bytes: UnsafeRawBufferPointer) throws(HTTP2Failure) {
    let count = nghttp2_session_mem_recv(session, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
    guard count >= 0 else { throw HTTP2Failure("HTTP/2", count) }
  }

  /// Puts frames into `output` until it is full or nothing can be sent now.
  func fill(_ output: OutputBuffer) throws(HTTP2Failure) {
    self.output = output
    defer { self.output = nil }
    while !output.isFull {
      var bytes: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(session, &bytes)
      guard count >= 0 else { throw HTTP2Failure("HTTP/2", count) }
      guard count > 0, let bytes else { return }
      output.append(UnsafeRawBufferPointer(start: bytes, count: count))
    }
  }

  /// False once both sides have said good-bye: then the connection can be closed.
  var isAlive: Bool { nghttp2_session_want_read(session) != 0 || nghttp2_session_want_write(session) != 0 }

  /// Frames that wait to be sent, data aside.
  var queuedFrames: Int { nghttp2_session_get_outbound_queue_size(session) }
}
