import Common
import Foundation
import LinuxSystem
import OCISpec

/// Converts a layer in a temporary directory and, if all went well, moves it to its place.
struct LayerInstall: Sendable {
  let catalog: Catalog
  let unpacker: LayerUnpacker

  /// `feed` writes the packed bytes to the conversion, and has checked that they are those of `blob` when it
  /// returns. Whatever it throws, nothing of the attempt is left.
  func run(
    _ blob: Digest, _ packing: LayerPacking, _ feed: @Sendable (LayerUnpacking) async throws -> Void
  ) async throws {
    let directory = catalog.paths.newTemporary()
    try await onDedicatedThread { try StoreFiles.makeDirectory(directory) }
    do {
      let converted = try await convert(packing, directory, feed)
      let layer = try await onDedicatedThread { try Self.settled(blob, converted, directory) }
      try await catalog.add(layer, from: directory)
    } catch {
      try? await onDedicatedThread { StoreFiles.remove(directory) }
      throw error
    }
  }

  private func convert(
    _ packing: LayerPacking, _ directory: String, _ feed: @Sendable (LayerUnpacking) async throws -> Void
  ) async throws -> ConvertedLayer {
    let conversion = try await unpacker.start(compression: LayerCompression(packing), directory: directory)
    do {
      try await feed(conversion)
      return try await conversion.finish()
    } catch {
      await conversion.abort()
      throw error
    }
  }

  /// The layer's record. The unpacker has waited until its files are on the disk; their names are to be, too.
  private static func settled(
    _ blob: Digest, _ converted: ConvertedLayer, _ directory: String
  ) throws -> ImageDatabase.Layer {
    let files = LayerFiles(directory: directory)
    guard StoreFiles.size(files.data) == converted.dataSize.bytes, StoreFiles.size(files.index) != nil else {
      throw BulkheadError(.internalError, "the unpacker's files of layer \(blob) are not what it said")
    }
    try StoreFiles.sync(directory)
    return .init(
      blob: blob, diffID: converted.diffID, dataSize: converted.dataSize.bytes,
      diskSize: StoreFiles.usage(directory).bytes, storedAt: StoreClock.now)
  }
}

extension LayerCompression {
  init(_ packing: LayerPacking) {
    switch packing {
    case .plain: self = .none
    case .gzip: self = .gzip
    case .zstd: self = .zstd
    }
  }
}
