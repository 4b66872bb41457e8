/// Feature bits of virtio (2.2) and vhost-user that we offer; a driver may take any part of them.
struct Features: OptionSet, Sendable {
  let rawValue: UInt64
  static let indirectDescriptors = Features(rawValue: 1 << 28)
  static let eventIndex = Features(rawValue: 1 << 29)
  /// VHOST_USER_F_PROTOCOL_FEATURES: between QEMU and us; rings then start disabled.
  static let protocolFeatures = Features(rawValue: 1 << 30)
  static let version1 = Features(rawValue: 1 << 32)

  static let offered: Features = [.indirectDescriptors, .eventIndex, .protocolFeatures, .version1]
}

/// VHOST_USER_PROTOCOL_F_* that we offer.
struct ProtocolFeatures: OptionSet, Sendable {
  let rawValue: UInt64
  static let multipleQueues = ProtocolFeatures(rawValue: 1 << 0)
  static let replyAcknowledged = ProtocolFeatures(rawValue: 1 << 3)
  static let configuration = ProtocolFeatures(rawValue: 1 << 9)
  static let resetDevice = ProtocolFeatures(rawValue: 1 << 13)

  static let offered: ProtocolFeatures = [.multipleQueues, .replyAcknowledged, .configuration, .resetDevice]
}
