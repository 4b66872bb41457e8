#if canImport(Glibc)
  import Glibc
#endif

extension AsyncDescriptor {
  /// What one direction of a relay holds while it waits for the side that takes.
  private static let relayBuffer = 64 << 10

  /// Carries all that `source` gives to `self`, a socket, and its end, `limit` bytes at once. An idle source costs no
  /// memory.
  public func take(from source: AsyncDescriptor, atOnce limit: Int) async throws {
    while true {
      try await source.readable()
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: limit, alignment: 4096)
      defer { buffer.deallocate() }
      // As long as there is more at once, the memory is used again.
      var count = 0
      repeat {
        count = try await source.read(into: buffer)
        if count == 0 { return try shutdownOutput() }
        try await write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      } while count == buffer.count
    }
  }

  /// Joins two sockets until both halves have ended or one side is gone. Throws what broke it. Closing both
  /// is the caller's.
  public static func relay(_ one: AsyncDescriptor, _ other: AsyncDescriptor) async throws {
    try await withThrowingTaskGroup(of: AsyncDescriptor?.self) { group in
      group.addTask {
        try await one.take(from: other, atOnce: relayBuffer)
        return other
      }
      group.addTask {
        try await other.take(from: one, atOnce: relayBuffer)
        return one
      }
      defer { group.cancelAll() }
      guard let ended = try await group.next() ?? nil else { return }
      group.addTask {
        try await ended.waitUntilPeerIsGone()
        return nil
      }
      _ = try await group.next()
    }
  }

  /// For a socket that has said all it will: whether it still listens has to be asked (`isPeerGone`).
  private func waitUntilPeerIsGone() async throws {
    while !isPeerGone { try await Task.sleep(for: .seconds(5)) }
  }
}
