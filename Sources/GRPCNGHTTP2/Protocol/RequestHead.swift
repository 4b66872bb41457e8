import GRPCCore

/// A request's header block, checked.
struct RequestHead: Sendable, Equatable {
  var service: String
  var method: String
  var metadata: Metadata
  var timeout: Duration?

  /// What to answer a request that is refused at the door.
  struct Refusal: Error, Equatable {
    var fields: [HeaderField]

    init(_ fields: [HeaderField]) { self.fields = fields }

    init(_ code: Status.Code, _ message: String) {
      guard
        case .headers(let fields, _) = ResponseFields.end(
          Status(code: code, message: message), [:], headersSent: false)
      else {
        self.fields = []
        return
      }
      self.fields = fields
    }
  }

  init(_ fields: [HeaderField]) throws(Refusal) {
    guard fields.first(":method") == "POST" else {
      throw Refusal(ResponseFields.httpError(405, "gRPC requests are POST"))
    }
    guard isGRPC(contentType: fields.first("content-type")) else {
      throw Refusal(ResponseFields.httpError(415, "the content-type is not application/grpc"))
    }
    if let encoding = fields.first("grpc-encoding"), encoding != "identity" {
      var refusal = Refusal(.unimplemented, "message encoding \(encoding) is not supported; use identity")
      refusal.fields.append(HeaderField("grpc-accept-encoding", "identity"))
      throw refusal
    }
    let path = fields.first(":path") ?? ""
    let parts = path.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].isEmpty, !parts[1].isEmpty, !parts[2].isEmpty else {
      throw Refusal(.unimplemented, "no such method: \(path)")
    }
    if let text = fields.first("grpc-timeout") {
      guard let timeout = GRPCTimeout.decode(text) else {
        throw Refusal(.internalError, "malformed grpc-timeout: \(text)")
      }
      self.timeout = timeout
    }
    self.service = String(parts[1])
    self.method = String(parts[2])
    self.metadata = MetadataFields.metadata(from: fields.filter { $0.name != "grpc-timeout" })
  }
}

/// `application/grpc`, alone or followed by a subtype or parameters.
func isGRPC(contentType: String?) -> Bool {
  let prefix = "application/grpc"
  guard let contentType, contentType.lowercased().hasPrefix(prefix) else { return false }
  guard let next = contentType.utf8.dropFirst(prefix.utf8.count).first else { return true }
  return next == UInt8(ascii: "+") || next == UInt8(ascii: ";")
}
