import Common

/// A pod's interface on one network, with all that DEL needs to undo it, even if the network's configuration
/// has changed or gone since. Written down before ADD, and again with its result.
public struct Attachment: Sendable, Codable, Equatable {
  public var network: NetworkConfiguration
  public var request: AttachmentRequest
  /// Nil: ADD did not end, or failed.
  public var result: AttachmentResult?

  public init(network: NetworkConfiguration, request: AttachmentRequest, result: AttachmentResult? = nil) {
    self.network = network
    self.request = request
    self.result = result
  }
}
