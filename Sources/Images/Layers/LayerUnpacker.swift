import Common

/// Starts one unprivileged `bulkhead-unpack` process a layer (design section 6).
public struct LayerUnpacker: Sendable {
  private let executable: String
  private let uid: UInt32
  private let gid: UInt32
  private let limits: LayerLimits

  /// The process runs as `uid` and `gid`, which should own nothing on the machine.
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
    throw BulkheadError(.unimplemented, "layers cannot be converted yet")
  }
}

/// A layer on its way through an unpacker process. End it with `finish` or `abort`: the process lives
/// until then.
public actor LayerUnpacking {
  /// Hands compressed bytes to the process; returns when it has taken them all, which is the
  /// backpressure. Throws the process's own message if it refused the layer. A cancelled task's write
  /// ends the process.
  public func write(_ bytes: [UInt8]) async throws {
    throw BulkheadError(.unimplemented, "layers cannot be converted yet")
  }

  /// The layer's last byte was written: waits for the process to end, and returns its result.
  public func finish() async throws -> ConvertedLayer {
    throw BulkheadError(.unimplemented, "layers cannot be converted yet")
  }

  /// Kills the process and waits for it. Nothing happens if it has ended already.
  public nonisolated func abort() async {}
}
