import Common
import Foundation
import Logging

@testable import Images

/// A store in a directory of its own.
struct TestStore: Sendable {
  let scratch: Scratch
  let store: ImageStore

  var directory: String { "\(scratch.path)/store" }

  init(
    _ scratch: Scratch? = nil, hosts: [String: String] = [:],
    configure: (inout ImageStore.Configuration) -> Void = { _ in }
  ) async throws {
    self.scratch = try scratch ?? Scratch()
    var configuration = ImageStore.Configuration(directory: "\(self.scratch.path)/store")
    configuration.registriesDirectory = "\(self.scratch.path)/certs.d"
    configuration.environment = [:]
    configuration.minimumFree = .mebibytes(1)
    configuration.firstRetryWait = .milliseconds(20)
    configure(&configuration)
    for (host, text) in hosts {
      let directory = try self.scratch.directory("certs.d/\(host)")
      try Data(text.utf8).write(to: URL(fileURLWithPath: "\(directory)/hosts.toml"))
    }
    var logger = Logger(label: "images")
    logger.logLevel = ProcessInfo.processInfo.environment["BULKHEAD_TEST_LOG"] == nil ? .critical : .debug
    store = try await ImageStore(configuration: configuration, unpacker: testUnpacker(), logger: logger)
  }

  /// Every file under the store's directory, without the database's and the lock.
  var files: Set<String> {
    let all = FileManager.default.enumerator(atPath: directory)?.compactMap { $0 as? String } ?? []
    return Set(all.filter { !$0.hasPrefix("images.db") && $0 != "lock" && $0.contains("/") })
  }
}

/// The unpacker that this test run built; it lies beside the tests' own executable.
func testUnpacker() -> LayerUnpacker {
  let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
  let executable = (own as NSString).deletingLastPathComponent + "/bulkhead-unpack"
  let isRoot = geteuid() == 0
  return LayerUnpacker(
    executable: executable, uid: isRoot ? 65532 : geteuid(), gid: isRoot ? 65532 : getegid(), limits: LayerLimits())
}

/// The error that `body` throws, as the store's callers get it.
func failure(_ body: () async throws -> some Any) async -> BulkheadError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? BulkheadError ?? BulkheadError(.internalError, "not one of ours: \(error)")
  }
}
