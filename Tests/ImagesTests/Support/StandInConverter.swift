import Common
import Foundation
import LayerFormat
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
    let tar =
      switch compression {
      case .none: try Data(contentsOf: URL(fileURLWithPath: file))
      case .gzip: try run("gzip", "-dc", file)
      case .zstd: try run("zstd", "-dqc", file)
      }
    StoreFiles.remove(file)
    let diffID = Digest(of: tar)
    let size = try writeFiles(of: tar)
    return ConvertedLayer(diffID: diffID, dataSize: ByteCount(bytes: size), entries: 0)
  }

  /// Contents one after the other into `data`, where they are into `index`.
  private func writeFiles(of tar: Data) throws -> UInt64 {
    let scratch = try Scratch()
    try tar.write(to: URL(fileURLWithPath: "\(scratch.path)/tar"))
    let tree = try scratch.directory("tree")
    try run("tar", "-xf", "\(scratch.path)/tar", "-C", tree)
    var (data, index) = (Data(), IndexEncoder())
    let attributes = InodeAttributes(mode: 0o644, uid: 0, gid: 0, modified: 0, modifiedNanoseconds: 0, xattrs: [])
    let names = FileManager.default.enumerator(atPath: tree)?.compactMap { $0 as? String } ?? []
    for name in names.sorted() {
      let path = try LayerPath(normalizing: Array(name.utf8))
      if let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(tree)/\(name)") {
        index.append(.init(path: path, content: .inode(.symlink(target: Array(target.utf8)), attributes)))
      } else if let content = try? Data(contentsOf: URL(fileURLWithPath: "\(tree)/\(name)")) {
        let block = content.isEmpty ? 0 : UInt32(data.count / FormatLimits.blockSize)
        index.append(.init(path: path, content: .inode(.file(size: UInt64(content.count), block: block), attributes)))
        data.append(content)
        data.append(Data(count: (4096 - data.count % 4096) % 4096))
      }
    }
    index.finish(dataSize: UInt64(data.count))
    try StoreFiles.write(data, to: "\(directory)/data")
    try StoreFiles.write(Data(index.takeBuffer()), to: "\(directory)/index")
    return UInt64(data.count)
  }

  func abort() async {}
}
