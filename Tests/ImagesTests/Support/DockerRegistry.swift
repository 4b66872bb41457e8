import Common
import Foundation
import OCISpec
import Glibc

/// Debian's docker-registry, the reference implementation, on a port of the loopback.
final class DockerRegistry: Sendable {
  let port: Int
  let authority: String
  private let process: Process
  private let scratch: Scratch

  /// `settings` are lines of its configuration: `auth:`, and beneath `http:` what `http` says.
  init(settings: String = "", http: String = "") async throws {
    scratch = try Scratch()
    let port = try freePort()
    let authority = "127.0.0.1:\(port)"
    self.port = port
    self.authority = authority
    let storage = try scratch.directory("storage")
    let file = try scratch.write(
      """
      version: 0.1
      log: {level: error}
      storage: {filesystem: {rootdirectory: \(storage)}}
      http:
        addr: \(authority)
      \(http)
      \(settings)
      """, to: "config.yml")
    process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["docker-registry", "serve", file]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    for _ in 0..<500 where !Self.accepts(port) { try await Task.sleep(for: .milliseconds(10)) }
  }

  deinit {
    process.terminate()
    process.waitUntilExit()
  }

  /// Pushes with skopeo, from a layout written for it.
  func push(_ image: TestImage, as name: String, arguments: [String] = []) throws {
    let layout = try scratch.directory(UUID().uuidString)
    try OCILayout.write([("image", image)], to: layout)
    try skopeo(
      ["copy", "--dest-tls-verify=false"] + arguments + ["oci:\(layout):image", "docker://\(authority)/\(name)"])
  }

  private func skopeo(_ arguments: [String]) throws {
    try run("sh", "-c", (["skopeo", "--insecure-policy"] + arguments).joined(separator: " "))
  }

  private static func accepts(_ port: Int) -> Bool {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}

/// Writes OCI layouts (image-spec, image-layout.md).
enum OCILayout {
  static func write(_ images: [(name: String, image: TestImage)], to directory: String) throws {
    let blobs = "\(directory)/blobs/sha256"
    try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
    try Data(#"{"imageLayoutVersion":"1.0.0"}"#.utf8).write(to: URL(fileURLWithPath: "\(directory)/oci-layout"))
    for (_, image) in images {
      for blob in image.blobs + [image.manifest] {
        try blob.bytes.write(to: URL(fileURLWithPath: "\(blobs)/\(blob.digest.hex)"))
      }
    }
    let index = Index(
      mediaType: MediaType.index,
      manifests: images.map { name, image in
        var descriptor = image.manifest.descriptor
        descriptor.annotations = ["org.opencontainers.image.ref.name": name]
        return descriptor
      })
    try JSONEncoder().encode(index).write(to: URL(fileURLWithPath: "\(directory)/index.json"))
  }
}
