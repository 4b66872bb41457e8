import Common
import Hashing
import LinuxSystem

/// Where a layer's packed bytes go as they arrive: into the digest, into the file that a broken download resumes
/// from, and into the conversion.
actor LayerIntake {
  private let conversion: LayerUnpacking
  private let partial: UnverifiedFile?
  private let report: @Sendable (UInt64) -> Void
  private let hash: MessageDigest
  private var pending: [UInt8] = []
  private(set) var total: UInt64 = 0

  static let pieceSize = 256 << 10

  init(conversion: LayerUnpacking, partial: UnverifiedFile?, report: @escaping @Sendable (UInt64) -> Void) throws {
    hash = try MessageDigest(.sha256)
    self.conversion = conversion
    self.partial = partial
    self.report = report
  }

  /// Bytes that are not in the file yet. Calls come one after the other, each awaited.
  func take(_ bytes: [UInt8]) async throws {
    if pending.isEmpty { pending = bytes } else { pending += bytes }
    if pending.count >= Self.pieceSize { try await passOn(keep: true) }
  }

  /// Bytes that come from the file itself, or are kept nowhere.
  func take(kept bytes: [UInt8]) async throws {
    pending.append(contentsOf: bytes)
    try await passOn(keep: false)
  }

  /// A part of a file, from its beginning to its end.
  func take(allOf extent: FileExtent) async throws {
    let file = try await onDedicatedThread { try UnverifiedFile(reading: extent.path) }
    var done: UInt64 = 0
    while done < extent.size {
      let (start, count) = (extent.offset + done, Int(min(extent.size - done, UInt64(Self.pieceSize))))
      let piece = try await onDedicatedThread { try file.read(at: start, count: count) }
      guard !piece.isEmpty else { throw BulkheadError(.dataLoss, "\(extent.path) became shorter while it was read") }
      try await take(kept: piece)
      done += UInt64(piece.count)
    }
  }

  /// After the last byte: the digest of all.
  func finish() async throws -> Digest {
    try await passOn(keep: true)
    return try hash.contentDigest()
  }

  private func passOn(keep: Bool) async throws {
    guard !pending.isEmpty else { return }
    let piece = pending
    pending = []
    async let converted: Void = conversion.write(piece)
    if keep, let partial { try await onDedicatedThread { try partial.append(piece) } }
    try hash.update(piece)
    try await converted
    total += UInt64(piece.count)
    report(total)
  }
}
