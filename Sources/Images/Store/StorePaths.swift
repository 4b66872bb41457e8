import Common

/// Where things lie in the store's directory. Directories are 0711 and files 0600 (root): a VM's user may pass
/// through to the one blob that it is given access to, and sees no other.
struct StorePaths: Sendable {
  let root: String

  var database: String { "\(root)/images.db" }
  var lock: String { "\(root)/lock" }
  var layers: String { "\(root)/layers" }
  var images: String { "\(root)/images" }
  /// Downloads that have not ended; they outlive a crash, and are taken up again.
  var ingest: String { "\(root)/ingest" }
  /// What is being made or deleted; emptied at every start.
  var temporary: String { "\(root)/tmp" }

  /// Of a layer by the digest of its blob, packed as it came: that one this process has verified itself, where
  /// the digest of the unpacked stream is what the unpacker, which reads hostile bytes, says of it.
  func layer(_ blob: Digest) -> String { "\(layers)/\(blob.hex)" }
  func layerFiles(_ blob: Digest) -> LayerFiles { LayerFiles(directory: layer(blob)) }

  func image(_ id: Digest) -> String { "\(images)/\(id.hex)" }
  func metadata(_ id: Digest) -> String { "\(image(id))/metadata" }
  func config(_ id: Digest) -> String { "\(image(id))/config" }
  func manifest(_ id: Digest) -> String { "\(image(id))/manifest" }

  func partial(_ blob: Digest) -> String { "\(ingest)/\(blob.hex)" }

  /// A new name among the temporary ones.
  func newTemporary() -> String {
    var generator = SystemRandomNumberGenerator()
    return "\(temporary)/\(String(generator.next(), radix: 16))"
  }
}
