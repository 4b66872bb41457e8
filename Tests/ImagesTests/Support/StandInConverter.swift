import Common
import Foundation
import Synchronization

@testable import Images

/// Converts with the system's gzip and zstd, and no filesystem: for the tests of what comes before and after.
struct StandInConverter: LayerConverter {
  func begin(_ compression: LayerCompression, directory: String) async throws -> any LayerConversion {
    try StandInConversion(compression, directory)
  }

  func writeMetadata(layers: [LayerFiles], imageID: Digest, to path: String) async throws -> [ImageExtent] {
    try StoreFiles.write(Data(count: 4096), to: path)
    let extents = layers.map { ImageExtent(path: $0.data, size: ByteCount(bytes: StoreFiles.size($0.data) ?? 0)) }
    return [ImageExtent(path: path, size: ByteCount(bytes: 4096))] + extents.filter { $0.size.bytes > 0 }
  }
}

final class StandInConversion: LayerConversion {
  private let compression: LayerCompression
  private let directory: String
  private let packed = Mutex(Data())

  init(_ compression: LayerCompression, _ directory: String) throws {
    self.compression = compression
    self.directory = directory
  }

  func write(_ bytes: [UInt8]) async throws {
    packed.withLock { $0.append(contentsOf: bytes) }
  }

  func finish() async throws -> ConvertedLayer {
    let file = "\(directory)/packed"
    try StoreFiles.write(packed.withLock(\.self), to: file)
    var tar =
      switch compression {
      case .none: try Data(contentsOf: URL(fileURLWithPath: file))
      case .gzip: try run("gzip", "-dc", file)
      case .zstd: try run("zstd", "-dqc", file)
      }
    StoreFiles.remove(file)
    let diffID = Digest(of: tar)
    tar.append(Data(count: (4096 - tar.count % 4096) % 4096))
    try StoreFiles.write(tar, to: "\(directory)/data")
    try StoreFiles.write(Data(), to: "\(directory)/index")
    return ConvertedLayer(diffID: diffID, dataSize: ByteCount(bytes: UInt64(tar.count)), entries: 0)
  }

  func abort() async {}
}
