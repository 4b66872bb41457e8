import GRPCCore

/// The header blocks that a server sends.
enum ResponseFields {
  private static let head = [HeaderField(":status", "200"), HeaderField("content-type", "application/grpc")]

  static func initial(_ metadata: Metadata) throws(RPCError) -> [HeaderField] {
    var fields = head
    guard MetadataFields.append(metadata, to: &fields) == 0 else {
      throw RPCError(
        code: .internalError,
        message: "the response metadata is larger than 48 KiB, or has a key or value that HTTP/2 can't carry")
    }
    return fields
  }

  /// The status: as trailers, or as a whole answer if no header block went before.
  static func end(_ status: Status, _ metadata: Metadata, headersSent: Bool) -> StreamOutput {
    var fields = headersSent ? [] : head
    fields.append(HeaderField("grpc-status", String(status.code.rawValue)))
    if !status.message.isEmpty { fields.append(HeaderField("grpc-message", StatusMessage.encode(status.message))) }
    MetadataFields.append(metadata, to: &fields)
    return headersSent ? .trailers(fields) : .headers(fields, endStream: true)
  }

  /// An answer to something that isn't gRPC: `code` is HTTP's.
  static func httpError(_ code: Int, _ message: String) -> [HeaderField] {
    [
      HeaderField(":status", String(code)), HeaderField("content-type", "application/grpc"),
      HeaderField("grpc-status", String(Status.Code.unknown.rawValue)),
      HeaderField("grpc-message", StatusMessage.encode(message)),
    ]
  }
}
