import FoundationEssentials
import LinuxSystem

extension AsyncDescriptor {
  /// At least one byte and at most `limit`; nil at the end. While it waits there is no memory held.
  func readData(limit: Int) async throws -> Data? {
    guard let block = try await readBlock(limit: limit) else { return nil }
    return Data(bytesNoCopy: block.address, count: block.count, deallocator: .custom { _, _ in block.free() })
  }
}

extension ProcessInput {
  func write(_ data: Data) async throws {
    let block = MemoryBlock(copying: data)
    defer { block.free() }
    try await write(block.bytes)
  }
}
