import GRPCCore

/// Translation between gRPC metadata and HTTP/2 header fields.
enum MetadataFields {
  /// Fields that belong to the protocol: never sent from metadata, never shown as metadata.
  private static func isReserved(_ name: String) -> Bool {
    if name.hasPrefix(":") { return true }
    switch name {
    case "content-type", "te", "user-agent", "grpc-status", "grpc-message", "grpc-encoding", "grpc-accept-encoding",
      "connection", "content-length", "transfer-encoding", "host":
      return true
    default: return false
    }
  }

  /// libnghttp2 sends no header block of more than 64 KiB; C-core takes no more than 16 KiB by default.
  private static let maxSize = 48 << 10

  /// Appends `metadata` to `fields`. A key or value that HTTP/2 can't carry is left out, because the
  /// peer would answer it by closing the connection that other RPCs share, and so is what is too much;
  /// the number of those left out is returned.
  @discardableResult
  static func append(_ metadata: Metadata, to fields: inout [HeaderField]) -> Int {
    var refused = 0
    var size = 0
    for (key, value) in metadata {
      let name = key.lowercased()
      if isReserved(name) { continue }
      let text =
        switch value {
        case .string(let string): string
        case .binary(let bytes): Base64.encode(bytes)
        }
      size += name.utf8.count + text.utf8.count + 32
      if size <= maxSize, isValidName(name), isValidValue(text) {
        fields.append(HeaderField(name, text))
      } else {
        refused += 1
      }
    }
    return refused
  }

  /// The metadata that `fields` carry. `-bin` values that are not base64 are left out.
  static func metadata(from fields: [HeaderField]) -> Metadata {
    var metadata = Metadata()
    for field in fields where !isReserved(field.name) {
      if field.name.hasSuffix("-bin") {
        for part in field.value.split(separator: ",", omittingEmptySubsequences: false) {
          if let bytes = Base64.decode(part) { metadata.addBinary(bytes, forKey: field.name) }
        }
      } else {
        metadata.addString(field.value, forKey: field.name)
      }
    }
    return metadata
  }

  private static func isValidName(_ name: String) -> Bool {
    !name.isEmpty
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
          UInt8(ascii: "_"), UInt8(ascii: "."):
          true
        default: false
        }
      }
  }

  private static func isValidValue(_ value: String) -> Bool {
    value.utf8.allSatisfy { (0x20...0x7e).contains($0) } && value.first != " " && value.last != " "
  }
}
