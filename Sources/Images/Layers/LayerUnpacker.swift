import Common
import LayerFormat
import LinuxSystem

/// Starts one unprivileged `bulkhead-unpack` process a layer (design section 6).
public struct LayerUnpacker: Sendable {
  private let executable: String
  private let uid: UInt32
  private let gid: UInt32
  let limits: LayerLimits

  /// The process runs as `uid` and `gid`, which should own nothing on the machine; without root's
  /// rights only the own ones are possible.
  public init(executable: String, uid: UInt32, gid: UInt32, limits: LayerLimits) {
    self.executable = executable
    self.uid = uid
    self.gid = gid
    self.limits = limits
  }

  /// Starts the process. The files `data` and `index` (`LayerFiles`) are created in `directory`, mode
  /// 0600; it is an error (`alreadyExists`) if one is there. After a failure they are left for the
  /// caller to delete with the directory.
  public func start(compression: LayerCompression, directory: String) async throws -> LayerUnpacking {
    let options = UnpackOptions(
      compression: compression.option, uid: uid, gid: gid,
      maximumSize: min(limits.maximumSize.bytes, UnpackOptions.largestSize),
      maximumEntries: UInt32(clamping: limits.maximumEntries))
    let files = LayerFiles(directory: directory)
    do {
      let executor = try ThreadExecutor()
      let process = try await onDedicatedThread { [executable] in
        try UnpackProcess.start(executable: executable, options: options, files: files)
      }
      return LayerUnpacking(process, files, limits, executor)
    } catch {
      throw BulkheadError.wrapping(error, "cannot start converting a layer")
    }
  }
}

extension LayerCompression {
  fileprivate var option: UnpackOptions.Compression {
    switch self {
    case .none: .none
    case .gzip: .gzip
    case .zstd: .zstd
    }
  }
}
