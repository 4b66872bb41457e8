import NIOCore

/// Where the server's half of a connection goes.
protocol Wire: Sendable {
  /// Returns when the connection can take more: that is the backpressure of everything here. Writes of
  /// one task keep their order, and a write is never mixed with another's.
  func write(_ bytes: ByteBuffer) async throws
  /// As `write`, but the session counts as idle all the same.
  func probe(_ bytes: ByteBuffer) async throws
  /// Nothing more will be written; what was is still sent.
  func finish()
}
