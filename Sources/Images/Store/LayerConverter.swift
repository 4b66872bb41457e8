import Common

/// What the store needs of the conversion of layers: `LayerUnpacker` and `ImageFilesystem`, or in tests of other
/// things something simpler.
protocol LayerConverter: Sendable {
  func begin(_ compression: LayerCompression, directory: String) async throws -> any LayerConversion
  func writeMetadata(layers: [LayerFiles], imageID: Digest, to path: String) async throws -> [ImageExtent]
}

protocol LayerConversion: Sendable {
  func write(_ bytes: [UInt8]) async throws
  func finish() async throws -> ConvertedLayer
  func abort() async
}

extension LayerUnpacking: LayerConversion {}

extension LayerUnpacker: LayerConverter {
  func begin(_ compression: LayerCompression, directory: String) async throws -> any LayerConversion {
    try await start(compression: compression, directory: directory)
  }

  func writeMetadata(layers: [LayerFiles], imageID: Digest, to path: String) async throws -> [ImageExtent] {
    try await ImageFilesystem.write(layers: layers, imageID: imageID, to: path)
  }
}
