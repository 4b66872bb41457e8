import Common
import Foundation
import OCISpec

/// What an image says of its containers' processes, and of the layers that it is made of.
public struct ImageConfig: Hashable, Sendable {
  /// `user`, `uid`, `user:group` or empty; to be resolved inside the image.
  public let user: String
  /// `NAME=value` each. Values are secrets: never to be shown or logged.
  public let env: [[UInt8]]
  public let entrypoint: [String]
  public let cmd: [String]
  /// Empty where the image has none.
  public let workingDir: String
  /// A signal's name or number, empty where the image has none.
  public let stopSignal: String
  public let volumes: [String]
  public let labels: [String: String]
  /// When the image was built, as it says, RFC 3339.
  public let created: String?
  /// Digests of the uncompressed layers, lowest first.
  let diffIDs: [Digest]

  /// From an image's configuration document. Throws `invalidArgument` for one that is malformed or is not for
  /// `platform`.
  init(_ bytes: Data, platform: PlatformChoice, limits: ImageLimits = ImageLimits()) throws {
    let document: ImageConfiguration
    do {
      document = try JSONDecoder().decode(ImageConfiguration.self, from: bytes)
    } catch {
      throw BulkheadError(.invalidArgument, "the image's configuration is not JSON of that format")
    }
    try platform.check(document)
    guard document.rootfs.type == "layers", document.rootfs.diffIDs.count <= limits.layers else {
      throw BulkheadError(.invalidArgument, "the image's rootfs is not a list of at most \(limits.layers) layers")
    }
    diffIDs = try document.rootfs.diffIDs.map { text in
      guard let digest = Digest(text) else {
        throw BulkheadError(
          .invalidArgument, "a diff_id is not sha256 and 64 hex digits: \(printable(text, limit: 100))")
      }
      return digest
    }
    let execution = document.config ?? .init()
    user = execution.user ?? ""
    env = (execution.env ?? []).map { Array($0.utf8) }
    entrypoint = execution.entrypoint ?? []
    cmd = execution.cmd ?? []
    workingDir = execution.workingDir ?? ""
    stopSignal = execution.stopSignal ?? ""
    volumes = (execution.volumes ?? [:]).keys.sorted()
    labels = execution.labels ?? [:]
    created = document.created
    // exec(2) would cut them there, and run something else than what was shown.
    let texts = [user, workingDir, stopSignal] + (execution.env ?? []) + entrypoint + cmd + volumes
    guard !texts.contains(where: { $0.utf8.contains(0) }) else {
      throw BulkheadError(.invalidArgument, "the image's configuration has a NUL in a string")
    }
  }
}
