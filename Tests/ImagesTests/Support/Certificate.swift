import Foundation
import Synchronization

/// A certificate that is its own authority, and its key, made by openssl.
struct Certificate: Sendable {
  let file: String
  let keyFile: String
  private let name: String

  /// `subject` is what it stands for: "DNS:registry.test", "IP:127.0.0.1".
  init(_ scratch: Scratch, name: String, subject: String) throws {
    self.name = name
    (file, keyFile) = ("\(scratch.path)/\(name).crt", "\(scratch.path)/\(name).key")
    try run(
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-keyout", keyFile, "-out", file, "-subj", "/CN=\(name)", "-addext", "subjectAltName=\(subject)")
  }

  /// A directory as skopeo wants it for a client's certificate.
  func directory(for scratch: Scratch) throws -> String {
    let directory = try scratch.directory("\(name).d")
    try FileManager.default.copyItem(atPath: file, toPath: "\(directory)/\(name).cert")
    try FileManager.default.copyItem(atPath: keyFile, toPath: "\(directory)/\(name).key")
    return directory
  }
}

/// What a script has read.
final class Requests: Sendable {
  private let requests = Mutex<[String]>([])
  func add(_ request: String) { requests.withLock { $0.append(request) } }
  var all: [String] { requests.withLock(\.self) }
}
