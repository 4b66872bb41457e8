import Common
import Foundation
import LinuxSystem
import Logging

/// Brings one layer into the store: downloads and converts it at the same time.
struct LayerFetch: Sendable {
  let catalog: Catalog
  let unpacker: LayerUnpacker
  let logger: Logger

  /// Returns when the layer is in the catalog. `report` is told how many of its packed bytes are here.
  func run(
    _ layer: LayerContent, from client: RegistryClient, report: @escaping @Sendable (UInt64) -> Void
  ) async throws {
    guard catalog.read({ $0.layers[layer.content.digest] }) == nil else { return }
    let path = catalog.paths.partial(layer.content.digest)
    let wasBegun = try await onDedicatedThread { StoreFiles.size(path) ?? 0 > 0 }
    do {
      try await attempt(layer, client, report)
    } catch  where wasBegun && !Task.isCancelled && !PullBreak.isPassing(error) {
      // What the earlier attempt left may not be what it seemed, after a power cut for instance.
      logger.info("layer \(layer.content.digest): the resumed download came to nothing, beginning anew: \(error)")
      try await attempt(layer, client, report)
    }
  }

  private func attempt(
    _ layer: LayerContent, _ client: RegistryClient, _ report: @escaping @Sendable (UInt64) -> Void
  ) async throws {
    let content = layer.content
    let path = catalog.paths.partial(content.digest)
    let partial = try await onDedicatedThread { try UnverifiedFile(path: path, size: content.size) }
    if partial.existing > 0 {
      logger.info("layer \(content.digest): resuming at \(partial.existing) of \(content.size) bytes")
    }
    do {
      try await LayerInstall(catalog: catalog, unpacker: unpacker).run(content.digest, layer.packing) { conversion in
        let intake = try LayerIntake(conversion: conversion, partial: partial, report: report)
        try await intake.take(allOf: FileExtent(path: path, offset: 0, size: partial.existing))
        do {
          try await client.blob(content, from: partial.existing) { try await intake.take($0) }
        } catch let error as BulkheadError where error.code == .notFound && layer.isForeign {
          throw foreign(content.digest, error)
        }
        let found = try await intake.finish()
        guard found == content.digest else {
          throw BulkheadError(
            .dataLoss, "the registry sent other content than layer \(content.digest): it has \(found)")
        }
      }
    } catch {
      let mayResume = catalog.isClosing || (PullBreak.isPassing(error) && !Task.isCancelled)
      if !mayResume { try? await onDedicatedThread { partial.remove() } }
      throw StoreFiles.explainingFullDisk(error, path)
    }
    try await onDedicatedThread { partial.remove() }
  }

  private func foreign(_ digest: Digest, _ error: BulkheadError) -> BulkheadError {
    BulkheadError(
      .failedPrecondition,
      "layer \(digest) is a foreign one, and the registry does not hold it; other servers that an image names are not "
        + "asked: push the image with its foreign layers", cause: error)
  }
}
