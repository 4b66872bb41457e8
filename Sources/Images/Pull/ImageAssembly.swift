import Common
import Foundation
import LinuxSystem

/// Makes an image of layers that are all in the catalog, and records it.
struct ImageAssembly: Sendable {
  let catalog: Catalog
  let unpacker: LayerUnpacker

  /// The caller holds a lease on the layers.
  func run(_ image: ResolvedImage, names: [ImageDatabase.Name]) async throws -> ImageRecord {
    let layers = try checkedLayers(image)
    let directory = catalog.paths.newTemporary()
    do {
      let user = "assembly in \(directory)"
      defer { catalog.removeUser(user, of: image.id) }
      let isHere = (try? catalog.addUser(user, of: image.id)) != nil
      let metadata = isHere ? 0 : try await write(image, layers, directory)
      let size = try await onDedicatedThread { StoreFiles.usage(directory).bytes }
      try await catalog.add(
        entry(image, layers, names, metadata: metadata, ownSize: size), from: isHere ? nil : directory)
    } catch {
      try? await onDedicatedThread { StoreFiles.remove(directory) }
      throw StoreFiles.explainingFullDisk(error, directory)
    }
    guard let record = catalog.read({ $0.record(image.id) }) else {
      throw BulkheadError(.aborted, "image \(image.id) was removed as soon as it was here")
    }
    return record
  }

  /// The layers' records, their unpacked digests being those that the configuration promises.
  private func checkedLayers(_ image: ResolvedImage) throws -> [ImageDatabase.Layer] {
    try zip(image.manifest.layers, image.config.diffIDs).map { layer, diffID in
      guard let stored = catalog.read({ $0.layers[layer.content.digest] }) else {
        throw BulkheadError(.internalError, "layer \(layer.content.digest) went while it was leased")
      }
      guard stored.diffID == diffID else {
        throw BulkheadError(
          .dataLoss,
          "layer \(layer.content.digest) unpacks to \(stored.diffID), the image's configuration says \(diffID)")
      }
      return stored
    }
  }

  /// Writes the image's files to `directory` and waits until they are on the disk. Returns the metadata's size.
  private func write(
    _ image: ResolvedImage, _ layers: [ImageDatabase.Layer], _ directory: String
  ) async throws -> UInt64 {
    try await onDedicatedThread {
      try StoreFiles.makeDirectory(directory)
      try StoreFiles.write(image.configBytes, to: "\(directory)/config")
      try StoreFiles.write(image.manifestBytes, to: "\(directory)/manifest")
    }
    let files = layers.map { catalog.paths.layerFiles($0.blob) }
    let extents = try await ImageFilesystem.write(
      layers: files, imageID: image.id, to: "\(directory)/metadata", limits: unpacker.limits)
    let data = zip(files, layers).filter { $0.1.dataSize > 0 }
    guard let metadata = extents.first,
      extents.dropFirst().map(\.path) == data.map(\.0.data),
      extents.dropFirst().map(\.size.bytes) == data.map(\.1.dataSize)
    else {
      throw BulkheadError(
        .internalError, "the filesystem of image \(image.id) does not lie on the layers it is made of")
    }
    try await onDedicatedThread { try StoreFiles.sync(directory) }
    return metadata.size.bytes
  }

  private func entry(
    _ image: ResolvedImage, _ layers: [ImageDatabase.Layer], _ names: [ImageDatabase.Name], metadata: UInt64,
    ownSize: UInt64
  ) -> CatalogState.Entry {
    let shared = Set(layers).reduce(0) { $0 &+ $1.diskSize }
    return .init(
      image: .init(
        id: image.id, layers: layers.map(\.blob), names: names, metadataSize: metadata,
        storedAt: StoreClock.now, isPinned: false),
      config: image.config, size: ByteCount(bytes: shared &+ ownSize))
  }
}
