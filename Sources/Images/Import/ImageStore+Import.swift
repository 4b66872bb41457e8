import Common
import Foundation
import LinuxSystem
import Logging
import OCISpec

extension ImageStore {
  /// Brings in the images of an OCI layout (a directory, or a tar of one) or of a `docker save` archive; tars may be
  /// packed with gzip or zstd. Returns when they are on the disk.
  ///
  /// `name` is what the image is to be called, where there is one; without it the names in the archive count.
  /// Throws `invalidArgument` for what is neither, or an image that nothing names, `dataLoss` for wrong digests, and
  /// what `pull` throws for images.
  public func importImage(
    path: String, name: String? = nil, progress: (@Sendable (PullProgress) -> Void)? = nil
  ) async throws -> [ImageRecord] {
    do {
      let records = try await ImageImport(store: self, path: path, report: progress ?? { _ in })
        .run(name: try name.map(ImageReference.init))
      try await applyPins()
      return records
    } catch {
      throw BulkheadError.wrapping(error, "importing \(printable(path))")
    }
  }
}

/// One import, from the file to the records.
struct ImageImport: Sendable {
  let store: ImageStore
  let path: String
  let tally: PullTally

  init(store: ImageStore, path: String, report: @escaping @Sendable (PullProgress) -> Void) {
    self.store = store
    self.path = path
    tally = PullTally(image: path, logger: store.logger, report: report)
  }

  func run(name: ImageReference?) async throws -> [ImageRecord] {
    var isDirectory = ObjCBool(false)
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
      throw BulkheadError(.notFound, "there is no \(printable(path)) to import")
    }
    if isDirectory.boolValue { return try await add(.layout(directory: path), name) }
    return try await withArchive { try await add($0, name) }
  }

  private func add(_ source: ImportSource, _ name: ImageReference?) async throws -> [ImageRecord] {
    let found = try await onDedicatedThread {
      if case .archive(let entries) = source, entries["manifest.json"] != nil {
        return try DockerArchive(source: source).images()
      }
      return try OCILayoutReader(source: source).images(isNamed: name != nil)
    }
    guard name == nil || found.count == 1 else {
      throw BulkheadError(.invalidArgument, "one name was given for the \(found.count) images of \(printable(path))")
    }
    guard found.allSatisfy({ name != nil || !$0.names.isEmpty }), !found.isEmpty else {
      throw BulkheadError(.invalidArgument, "nothing in \(printable(path)) names its image: give a name")
    }
    var records: [ImageRecord] = []
    for image in found { records.append(try await add(image, names: name.map { [$0] } ?? image.names)) }
    return records
  }

  private func add(_ found: ImportedImage, names: [ImageReference]) async throws -> ImageRecord {
    let blobs = found.image.manifest.layers.map(\.content.digest)
    let record = try await store.catalog.withLease(on: blobs) {
      let missing = zip(found.image.manifest.layers, found.layers).filter { layer, _ in
        store.catalog.read { $0.layers[layer.content.digest] } == nil
      }
      tally.begin(total: blobs.count, missing: missing.map(\.0))
      try await store.checkFreeSpace(for: missing.map(\.0), of: printable(path))
      for (layer, file) in missing { try await add(layer, file) }
      tally.enter(.assembling)
      return try await ImageAssembly(catalog: store.catalog, unpacker: store.unpacker)
        .run(found.image, names: try names.map { try self.name($0, found.image.digest) })
    }
    tally.enter(.done)
    store.logger.info("imported image", metadata: ["image": "\(record.id)", "names": "\(record.tags)"])
    return record
  }

  /// A digest in a name is a claim of the archive's, and whoever asks for the image by it relies on it.
  private func name(_ reference: ImageReference, _ manifest: Digest?) throws -> ImageDatabase.Name {
    guard reference.digest == nil || reference.digest == manifest else {
      throw BulkheadError(.invalidArgument, "the archive's image is not \(reference): give a name with a tag")
    }
    return .init(text: reference.description, repository: reference.repository, manifest: manifest)
  }

  private func add(_ layer: LayerContent, _ file: FileExtent) async throws {
    let blob = layer.content.digest
    guard store.catalog.read({ $0.layers[blob] }) == nil else { return tally.layerIsDone() }
    try await LayerInstall(catalog: store.catalog, unpacker: store.unpacker).run(blob, layer.packing) { conversion in
      let intake = try LayerIntake(conversion: conversion, partial: nil) { tally.layer(blob, has: $0) }
      try await intake.take(allOf: file)
      guard try await intake.finish() == blob else {
        throw BulkheadError(.dataLoss, "the content of layer \(blob) has another digest")
      }
    }
    tally.layerIsDone()
  }

  /// Has the unpacker take the archive apart, as if it were a layer: it alone reads the tar, without privileges, and
  /// what it makes of it are contents in one blob and names that are no paths.
  private func withArchive<Result: Sendable>(
    _ body: @Sendable (ImportSource) async throws -> Result
  ) async throws -> Result {
    let directory = store.catalog.paths.newTemporary()
    do {
      let result = try await body(try await convertedArchive(in: directory))
      try await onDedicatedThread { StoreFiles.remove(directory) }
      return result
    } catch {
      try? await onDedicatedThread { StoreFiles.remove(directory) }
      throw StoreFiles.explainingFullDisk(error, directory)
    }
  }

  private func convertedArchive(in directory: String) async throws -> ImportSource {
    let (archive, packing) = try await onDedicatedThread { [path] in
      let size = StoreFiles.size(path) ?? 0
      let magic = try UnverifiedFile(reading: path).read(at: 0, count: 4)
      try StoreFiles.makeDirectory(directory)
      return (FileExtent(path: path, offset: 0, size: size), LayerPacking(magic: magic))
    }
    let conversion = try await store.unpacker.start(compression: LayerCompression(packing), directory: directory)
    do {
      let intake = try LayerIntake(conversion: conversion, partial: nil) { _ in }
      try await intake.take(allOf: archive)
      _ = try await intake.finish()
      _ = try await conversion.finish()
    } catch {
      await conversion.abort()
      throw error
    }
    return try await onDedicatedThread { try ArchiveContents.read(LayerFiles(directory: directory)) }
  }
}
