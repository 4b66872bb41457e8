import FoundationEssentials

/// A connection to a port on a pod's own loopback.
struct PortConnection: Sendable {
  let stream: GuestStream

  /// Joins a client until both halves have ended or either side fails. Closes the connection.
  func join(_ client: some PortClient) async throws {
    defer { stream.close() }
    try await client.connected()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for try await bytes in client.input { try await stream.write(bytes) }
        try stream.endOutput()
      }
      group.addTask {
        while let bytes = try await stream.read() { try await client.write(bytes) }
        try await client.closeOutput()
      }
      defer { group.cancelAll() }
      try await group.next()
      try await group.next()
    }
  }
}
