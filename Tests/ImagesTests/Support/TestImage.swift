import Common
import Foundation
import Hashing
import OCISpec

@testable import Images

/// An image made by hand: everything that a registry would serve of it.
struct TestImage: Sendable {
  enum Format: Sendable { case oci, docker }

  struct Blob: Sendable {
    let mediaType: String
    let bytes: Data
    let digest: Digest
    var descriptor: Descriptor {
      Descriptor(mediaType: mediaType, digest: digest.description, size: Int64(bytes.count))
    }

    init(mediaType: String, bytes: Data) throws {
      self.mediaType = mediaType
      self.bytes = bytes
      digest = try Digest(of: bytes)
    }
  }

  var layers: [Blob]
  var config: Blob
  var manifest: Blob

  /// A layer a dictionary of file names and contents, packed by the system's own tools.
  init(
    _ layers: [[String: Data]], packing: LayerPacking = .gzip, format: Format = .oci, architecture: String = "amd64",
    edit: (inout ImageConfiguration.Execution) -> Void = { _ in }
  ) throws {
    let scratch = try Scratch()
    var diffIDs: [String] = []
    self.layers = try layers.enumerated().map { number, files in
      let tree = try scratch.directory("tree\(number)")
      for (name, content) in files { try content.write(to: URL(fileURLWithPath: "\(tree)/\(name)")) }
      let tar = "\(scratch.path)/\(number).tar"
      try run("tar", "--sort=name", "--mtime=@0", "-C", tree, "-cf", tar, ".")
      diffIDs.append(try Digest(of: Data(contentsOf: URL(fileURLWithPath: tar))).description)
      return try Self.packed(tar, packing, format)
    }
    var execution = ImageConfiguration.Execution()
    execution.env = ["PATH=/bin", "GREETING=hello"]
    execution.cmd = ["/bin/hello"]
    edit(&execution)
    let configuration = ImageConfiguration(
      created: "2024-01-01T00:00:00Z", architecture: architecture, os: "linux", config: execution,
      rootfs: .init(diffIDs: diffIDs))
    config = try Blob(
      mediaType: format == .oci ? MediaType.config : MediaType.dockerConfig,
      bytes: JSONEncoder().encode(configuration))
    manifest = try Self.manifest(config, self.layers, format)
  }

  static func manifest(_ config: Blob, _ layers: [Blob], _ format: Format = .oci) throws -> Blob {
    let type = format == .oci ? MediaType.manifest : MediaType.dockerManifest
    let document = Manifest(mediaType: type, config: config.descriptor, layers: layers.map(\.descriptor))
    return try Blob(mediaType: type, bytes: JSONEncoder().encode(document))
  }

  /// An index of images by platform.
  static func index(_ images: [(TestImage, Platform)], docker: Bool = false) throws -> Blob {
    let type = docker ? MediaType.dockerManifestList : MediaType.index
    let manifests = images.map { image, platform in
      var descriptor = image.manifest.descriptor
      descriptor.platform = platform
      return descriptor
    }
    return try Blob(mediaType: type, bytes: JSONEncoder().encode(Index(mediaType: type, manifests: manifests)))
  }

  var id: Digest { config.digest }
  var blobs: [Blob] { layers + [config] }

  private static func packed(_ tar: String, _ packing: LayerPacking, _ format: Format) throws -> Blob {
    let base =
      format == .oci ? "application/vnd.oci.image.layer.v1.tar" : "application/vnd.docker.image.rootfs.diff.tar"
    let separator = format == .oci ? "+" : "."
    switch packing {
    case .plain: return try Blob(mediaType: base, bytes: Data(contentsOf: URL(fileURLWithPath: tar)))
    case .gzip: return try Blob(mediaType: "\(base)\(separator)gzip", bytes: run("gzip", "-nc1", tar))
    case .zstd: return try Blob(mediaType: "\(base)\(separator)zstd", bytes: run("zstd", "-qc", tar))
    }
  }
}

extension Data {
  /// Bytes that don't compress, the same for the same seed.
  static func noise(_ count: Int, seed: UInt64) -> Data {
    var state = seed &* 2 &+ 1
    var bytes = [UInt8](repeating: 0, count: count)
    for index in bytes.indices {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      bytes[index] = UInt8(truncatingIfNeeded: state >> 56)
    }
    return Data(bytes)
  }
}
