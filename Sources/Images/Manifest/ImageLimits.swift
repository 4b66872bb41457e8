import Common

/// How much of anything an image may have: all of it comes from strangers.
struct ImageLimits: Sendable {
  var manifestBytes = 4 << 20
  var configBytes = 8 << 20
  var layers = 512
  /// Of one layer as the registry has it, packed.
  var layerBytes = ByteCount.gibibytes(128)
}
