import Common
import Crypto
import LinuxSystem
import NIOCore

/// Where a layer's packed bytes go as they arrive: into the digest, into the file that a broken download resumes
/// from, and into the conversion.
actor LayerIntake {
  private let conversion: any LayerConversion
  private let partial: PartialBlob?
  private let report: @Sendable (UInt64) -> Void
  private var hash = SHA256()
  private var pending: [UInt8] = []
  private(set) var total: UInt64 = 0

  static let pieceSize = 256 << 10

  init(conversion: any LayerConversion, partial: PartialBlob?, report: @escaping @Sendable (UInt64) -> Void) {
    self.conversion = conversion
    self.partial = partial
    self.report = report
  }

  /// Bytes that are not in the file yet. Calls come one after the other, each awaited.
  func take(_ bytes: ByteBuffer) async throws {
    pending.append(contentsOf: bytes.readableBytesView)
    if pending.count >= Self.pieceSize { try await passOn(keep: true) }
  }

  /// Bytes that come from the file itself, or are kept nowhere.
  func take(kept bytes: [UInt8]) async throws {
    pending.append(contentsOf: bytes)
    try await passOn(keep: false)
  }

  /// After the last byte: the digest of all.
  func finish() async throws -> Common.Digest {
    try await passOn(keep: true)
    return hash.finalize().contentDigest
  }

  private func passOn(keep: Bool) async throws {
    guard !pending.isEmpty else { return }
    let piece = pending
    pending = []
    async let converted: Void = conversion.write(piece)
    if keep, let partial { try await onDedicatedThread { try partial.append(piece) } }
    hash.update(data: piece)
    try await converted
    total += UInt64(piece.count)
    report(total)
  }
}
