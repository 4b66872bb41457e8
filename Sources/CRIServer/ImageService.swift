import CRI
import Common
import Foundation
import GRPCCore
import Images

/// The CRI's ImageService: translates, validates, calls `ImageStore`.
public struct ImageService: Runtime_V1_ImageService.SimpleServiceProtocol {
  let images: ImageStore
  /// What ImageFsInfo names as the file system of images.
  let directory: String
  /// What ImageFsInfo names as the file system of containers' writable layers.
  let scratchDirectory: String

  public init(images: ImageStore, directory: String, scratchDirectory: String) {
    self.images = images
    self.directory = directory
    self.scratchDirectory = scratchDirectory
  }

  public func listImages(
    request: Runtime_V1_ListImagesRequest, context: ServerContext
  ) async throws -> Runtime_V1_ListImagesResponse {
    .with { $0.images = selected(request.filter) }
  }

  public func streamImages(
    request: Runtime_V1_StreamImagesRequest, response: RPCWriter<Runtime_V1_StreamImagesResponse>,
    context: ServerContext
  ) async throws {
    for part in selected(request.filter).parts { try await response.write(.with { $0.images = part }) }
  }

  private func selected(_ filter: Runtime_V1_ImageFilter) -> [Runtime_V1_Image] {
    if filter.image.image.isEmpty { return images.images().map(Runtime_V1_Image.init) }
    return images.image(filter.image.image).map { [Runtime_V1_Image($0)] } ?? []
  }

  public func imageStatus(
    request: Runtime_V1_ImageStatusRequest, context: ServerContext
  ) async throws -> Runtime_V1_ImageStatusResponse {
    // An image that isn't there is an answer without image, not an error.
    guard let image = images.image(try name(request.image)) else { return .init() }
    return try .with {
      $0.image = .init(image)
      if request.verbose { $0.info = ["info": try json(ImageInfo(image))] }
    }
  }

  public func pullImage(
    request: Runtime_V1_PullImageRequest, context: ServerContext
  ) async throws -> Runtime_V1_PullImageResponse {
    let image = try await images.pull(
      try name(request.image), credentials: request.hasAuth ? try credentials(request.auth) : nil, progress: nil)
    return .with { $0.imageRef = image.id.description }
  }

  public func removeImage(
    request: Runtime_V1_RemoveImageRequest, context: ServerContext
  ) async throws -> Runtime_V1_RemoveImageResponse {
    try await images.remove(try name(request.image))
    return .init()
  }

  public func imageFsInfo(
    request: Runtime_V1_ImageFsInfoRequest, context: ServerContext
  ) async throws -> Runtime_V1_ImageFsInfoResponse {
    let usage = try await images.usage()
    let containers = try scratchUsage()
    return .with {
      $0.imageFilesystems = [filesystem(directory, bytes: usage.bytes.bytes, inodes: usage.inodes)]
      $0.containerFilesystems = [filesystem(scratchDirectory, bytes: containers.bytes, inodes: containers.files)]
    }
  }

  /// What the scratch disks take on the host: allocated blocks, not their apparent size.
  private func scratchUsage() throws -> (bytes: UInt64, files: UInt64) {
    var bytes: UInt64 = 0
    var files: UInt64 = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: scratchDirectory) {
      var status = stat()
      guard lstat("\(scratchDirectory)/\(name)", &status) == 0 else { continue }
      bytes += UInt64(max(status.st_blocks, 0)) * 512
      files += 1
    }
    return (bytes, files)
  }

  private func filesystem(_ path: String, bytes: UInt64, inodes: UInt64) -> Runtime_V1_FilesystemUsage {
    .with {
      $0.timestamp = Int64(Date().timeIntervalSince1970 * 1e9)
      $0.fsID.mountpoint = path
      $0.usedBytes.value = bytes
      $0.inodesUsed.value = inodes
    }
  }

  private func name(_ spec: Runtime_V1_ImageSpec) throws(BulkheadError) -> String {
    try Validation.name(spec.image, "image", limit: 1024)
  }

  private func credentials(_ auth: Runtime_V1_AuthConfig) throws -> RegistryCredentials? {
    try RegistryCredentials(
      username: auth.username, password: auth.password, auth: auth.auth, serverAddress: auth.serverAddress,
      identityToken: auth.identityToken, registryToken: auth.registryToken)
  }
}

extension Runtime_V1_Image {
  init(_ image: ImageRecord) {
    self.init()
    id = image.id.description
    repoTags = image.tags
    repoDigests = image.repoDigests
    size = image.size.bytes
    pinned = image.isPinned
    spec.image = image.tags.first ?? image.repoDigests.first ?? image.id.description
    let user = image.config.user.split(separator: ":", maxSplits: 1).first.map(String.init) ?? ""
    if user.isEmpty {
      uid.value = 0
    } else if let number = UInt32(user) {
      uid.value = Int64(number)
    } else {
      username = user
    }
  }
}

/// Verbose information as JSON (the CRI's `info`).
private struct ImageInfo: Codable {
  var layers: [String]
  var entrypoint: [String]
  var cmd: [String]
  var workingDir: String
  var stopSignal: String
  var labels: [String: String]

  init(_ image: ImageRecord) {
    layers = image.layers.map(\.description)
    entrypoint = image.config.entrypoint
    cmd = image.config.cmd
    workingDir = image.config.workingDir
    stopSignal = image.config.stopSignal
    labels = image.config.labels
  }
}
